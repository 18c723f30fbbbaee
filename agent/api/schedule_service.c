/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/schedule_service.h"

#include <errno.h>

#include "agent/api/schedule_message.h"

struct schedule_service {
	struct schedules *schedules;
	const struct api_context *context;
};

/* One change until its answer. */
struct request {
	const struct schedule_service *service;
	struct rpc_call *call;
};

/* -- answers -- */

static void reply_schedule(const struct schedule_service *service, struct rpc_call *call,
			   const struct schedule_view *view)
{
	_cleanup_(schedule_message_clear) struct schedule_message message = { 0 };
	_cleanup_error_ struct error error = ERROR_INIT;

	if (schedule_message_fill(&message, view, service->context->region, true) == 0) {
		rpc_call_reply(call, &message.message.base);
		return;
	}
	(void)api_refuse_memory(&error);
	rpc_call_fail(call, &error);
}

static void answer_schedule(const struct schedule_view *view, const struct error *error, void *arg)
{
	_cleanup_free_ struct request *request = arg;

	if (error)
		rpc_call_fail(request->call, error);
	else
		reply_schedule(request->service, request->call, view);
}

static void answer_deleted(const struct schedule_view *view _unused_, const struct error *error,
			   void *arg)
{
	Mayfly__V1__DeleteScheduleResponse response = MAYFLY__V1__DELETE_SCHEDULE_RESPONSE__INIT;

	if (error)
		rpc_call_fail(arg, error);
	else
		rpc_call_reply(arg, &response.base);
}

/* -- Create and Update -- */

typedef int change_fn(struct schedules *schedules, const struct schedule_request *request,
		      schedules_answer_fn *answer, void *arg, struct error *error);

static int begin_change(struct schedule_service *service, struct rpc_call *call,
			struct schedule_fields *fields, change_fn *change, struct error *error)
{
	_cleanup_free_ struct request *request = calloc(1, sizeof(*request));
	struct schedule_request wanted;
	int r;

	if (!request)
		return api_refuse_memory(error);
	*request = (struct request){ service, call };
	r = api_resolve_tenant(service->context, fields->tenant, &fields->tenant, error);
	if (r == 0)
		r = schedule_request_decode(fields, &wanted, error);
	if (r == 0)
		r = change(service->schedules, &wanted, answer_schedule, request, error);
	if (r == 0)
		(void)TAKE_PTR(request);
	return r;
}

static int begin_create(struct schedule_service *service, struct rpc_call *call,
			const Mayfly__V1__CreateScheduleRequest *message, struct error *error)
{
	struct schedule_fields fields = {
		.tenant = message->tenant,
		.name = message->name,
		.description = message->description,
		.expression = message->schedule_expression,
		.timezone = message->schedule_expression_timezone,
		.start_us = message->start_date_us,
		.end_us = message->end_date_us,
		.state = message->state,
		.window = message->flexible_time_window,
		.action = message->action_after_completion,
		.target = message->target,
		.client_token = message->client_token,
	};

	return begin_change(service, call, &fields, schedules_create, error);
}

static int begin_update(struct schedule_service *service, struct rpc_call *call,
			const Mayfly__V1__UpdateScheduleRequest *message, struct error *error)
{
	struct schedule_fields fields = {
		.tenant = message->tenant,
		.name = message->name,
		.description = message->description,
		.expression = message->schedule_expression,
		.timezone = message->schedule_expression_timezone,
		.start_us = message->start_date_us,
		.end_us = message->end_date_us,
		.state = message->state,
		.window = message->flexible_time_window,
		.action = message->action_after_completion,
		.target = message->target,
		.client_token = "",
	};

	return begin_change(service, call, &fields, schedules_update, error);
}

/* -- Delete, Get, List -- */

static int begin_delete(struct schedule_service *service, struct rpc_call *call,
			const Mayfly__V1__DeleteScheduleRequest *message, struct error *error)
{
	const char *tenant;
	int r = api_resolve_tenant(service->context, message->tenant, &tenant, error);

	return r < 0 ? r
		     : schedules_delete(service->schedules, tenant, message->name, answer_deleted,
					call, error);
}

static int reply_get(struct schedule_service *service, struct rpc_call *call,
		     const Mayfly__V1__GetScheduleRequest *message, struct error *error)
{
	struct schedule_view view;
	const char *tenant;
	int r = api_resolve_tenant(service->context, message->tenant, &tenant, error);

	if (r == 0)
		r = schedules_get(service->schedules, tenant, message->name, &view, error);
	if (r == 0)
		reply_schedule(service, call, &view);
	return r;
}

struct page_messages {
	struct schedules_page page;
	struct schedule_message messages[SCHEDULES_PAGE_ITEMS];
	Mayfly__V1__Schedule *pointers[SCHEDULES_PAGE_ITEMS];
	size_t count;
};

static void page_messages_free(struct page_messages *page)
{
	for (size_t i = 0; i < page->count; i++)
		schedule_message_clear(&page->messages[i]);
	free(page);
}
DEFINE_CLEANUP(struct page_messages, page_messages_free)

static int fill_page(const struct schedule_service *service, struct page_messages *page)
{
	int r = 0;

	for (size_t i = 0; i < page->page.count && r == 0; i++) {
		page->count++;
		page->pointers[i] = &page->messages[i].message;
		r = schedule_message_fill(&page->messages[i], &page->page.views[i],
					  service->context->region, false);
	}
	return r;
}

static int reply_list(struct schedule_service *service, struct rpc_call *call,
		      const Mayfly__V1__ListSchedulesRequest *message, struct error *error)
{
	_cleanup_(page_messages_free_p) struct page_messages *page = calloc(1, sizeof(*page));
	Mayfly__V1__ListSchedulesResponse response = MAYFLY__V1__LIST_SCHEDULES_RESPONSE__INIT;
	struct schedules_filter filter = { .name_prefix = message->name_prefix,
					   .has_state = message->state != 0,
					   .max_results = message->max_results,
					   .after = message->next_token };
	int r;

	if (!page)
		return api_refuse_memory(error);
	r = api_resolve_tenant(service->context, message->tenant, &filter.tenant, error);
	if (r == 0)
		r = schedule_state_decode(message->state, &filter.disabled, error);
	if (r == 0)
		r = schedules_list(service->schedules, &filter, &page->page, error);
	if (r < 0)
		return r;
	if (fill_page(service, page) < 0)
		return api_refuse_memory(error);
	response.schedules = page->pointers;
	response.n_schedules = page->count;
	response.next_token = page->page.next;
	rpc_call_reply(call, &response.base);
	return 0;
}

/* -- the service -- */

API_HANDLER(on_create, begin_create, Mayfly__V1__CreateScheduleRequest)
API_HANDLER(on_get, reply_get, Mayfly__V1__GetScheduleRequest)
API_HANDLER(on_update, begin_update, Mayfly__V1__UpdateScheduleRequest)
API_HANDLER(on_delete, begin_delete, Mayfly__V1__DeleteScheduleRequest)
API_HANDLER(on_list, reply_list, Mayfly__V1__ListSchedulesRequest)

static const struct rpc_method_handler handlers[] = {
	{ "CreateSchedule", on_create }, { "GetSchedule", on_get },
	{ "UpdateSchedule", on_update }, { "DeleteSchedule", on_delete },
	{ "ListSchedules", on_list },    { NULL, NULL },
};

int schedule_service_register(struct rpc_server *server, struct schedules *schedules,
			      const struct api_context *context, struct schedule_service **ret,
			      struct error *error)
{
	struct schedule_service *service = calloc(1, sizeof(*service));
	int r;

	if (!service)
		return error_set_errno(error, ENOMEM, "Cannot serve schedules");
	*service = (struct schedule_service){ schedules, context };
	r = rpc_server_add_service(server, &mayfly__v1__scheduler_service__descriptor, handlers,
				   service, error);
	if (r < 0) {
		free(service);
		return r;
	}
	*ret = service;
	return 0;
}

struct schedule_service *schedule_service_free(struct schedule_service *service)
{
	free(service);
	return NULL;
}
