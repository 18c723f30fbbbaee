/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/template_service.h"

#include <errno.h>

#include "agent/api/node_messages.h"
#include "mayfly/clock.h"

#define PROGRESS_PERIOD_US (250 * USEC_PER_MSEC)
#define MEMORY_MIN_MB      128
#define MEMORY_MAX_MB      10240

struct template_service {
	struct loop *loop;
	struct template_store *templates;
	const struct runtime_catalogue *catalogue;
};

static char *borrow(const char *text)
{
	return (char *)(uintptr_t)text;
}

/* -- List -- */

static void handle_list(struct rpc_call *rpc, const ProtobufCMessage *request _unused_, void *user)
{
	const struct template_service *service = user;
	struct node_templates templates = { 0 };
	_cleanup_error_ struct error error = ERROR_INIT;

	if (node_templates_collect(service->templates, &templates) < 0) {
		(void)error_set_errno(&error, ENOMEM, "Cannot list the templates");
		rpc_call_fail(rpc, &error);
	} else {
		rpc_call_reply(rpc, &templates.message->base);
	}
	node_templates_clear(&templates);
}

/* -- Build: the step of the build is looked at now and then, and sent when it changed -- */

struct build {
	struct template_service *service;
	struct rpc_call *rpc;
	const Mayfly__V1__BuildTemplateRequest *request; /* the call's */
	struct timer timer;
	char step[128];
	bool changed;
	bool in_flight;
	bool cancelled;
	bool finished;
	struct template *template; /* referenced; NULL: it failed */
	struct error error;
};

static void build_free(struct build *build)
{
	timer_disarm(&build->timer);
	if (build->template)
		build->template = template_unref(build->template);
	error_clear(&build->error);
	free(build);
}

static void look_at_step(const struct template_facts *facts, void *arg)
{
	struct build *build = arg;

	if (facts->kind != TEMPLATE_BASE || facts->state != TEMPLATE_BUILDING || !facts->step ||
	    facts->memory_mb != build->request->memory_size_mb ||
	    strcmp(facts->runtime, build->request->runtime) != 0 ||
	    strcmp(facts->step, build->step) == 0)
		return;
	(void)snprintf(build->step, sizeof(build->step), "%s", facts->step);
	build->changed = true;
}

static void answer_build(struct build *build)
{
	Mayfly__V1__BuildTemplateProgress progress = MAYFLY__V1__BUILD_TEMPLATE_PROGRESS__INIT;
	struct template_facts facts = { 0 };
	Mayfly__V1__Template template;

	if (!build->template) {
		rpc_call_fail(build->rpc, &build->error);
		build_free(build);
		return;
	}
	template_get_facts(build->template, &facts);
	node_message_template(&template, &facts);
	progress.step = borrow("ready");
	progress.template_ = &template;
	rpc_call_reply(build->rpc, &progress.base);
	build_free(build);
}

static void pump(struct build *build)
{
	if (build->finished && (!build->in_flight || build->cancelled)) {
		answer_build(build);
		return;
	}
	if (!build->changed || build->in_flight || build->cancelled)
		return;
	Mayfly__V1__BuildTemplateProgress progress = MAYFLY__V1__BUILD_TEMPLATE_PROGRESS__INIT;

	progress.step = build->step;
	build->changed = false;
	build->in_flight = rpc_call_send(build->rpc, &progress.base) >= 0;
}

static void on_period(void *arg)
{
	struct build *build = arg;

	template_store_each(build->service->templates, look_at_step, build);
	/* Without a timer there is no progress to see, but an answer all the same. */
	(void)!timer_arm(&build->timer, build->service->loop,
			 clock_monotonic_us() + PROGRESS_PERIOD_US, on_period, build);
	pump(build);
}

static void on_writable(void *arg)
{
	struct build *build = arg;

	build->in_flight = false;
	pump(build);
}

static void on_cancelled(void *arg)
{
	struct build *build = arg;

	build->cancelled = true; /* the build goes on: others may wait for it */
	pump(build);
}

static void on_ready(struct template *template, const struct error *error, void *arg)
{
	struct build *build = arg;

	build->finished = true;
	timer_disarm(&build->timer);
	if (template)
		build->template = template_ref(template);
	else if (error_copy(&build->error, error) < 0)
		(void)error_set_errno(&build->error, ENOMEM, "The template could not be built");
	pump(build);
}

static int start_build(struct template_service *service, struct rpc_call *rpc,
		       const Mayfly__V1__BuildTemplateRequest *request, struct error *error)
{
	struct build *build;

	if (request->memory_size_mb < MEMORY_MIN_MB || request->memory_size_mb > MEMORY_MAX_MB)
		return error_set(error, ERROR_INVALID_PARAMETER, "memory_size_mb",
				 "The memory size must be between %d and %d MB.", MEMORY_MIN_MB,
				 MEMORY_MAX_MB);
	if (service->catalogue && !runtime_catalogue_find(service->catalogue, request->runtime))
		return error_set(error, ERROR_INVALID_PARAMETER, "runtime",
				 "This node has no image of the runtime %s.", request->runtime);
	build = calloc(1, sizeof(*build));
	if (!build)
		return error_set_errno(error, ENOMEM, "Cannot build the template");
	build->service = service;
	build->rpc = rpc;
	build->request = request;
	rpc_call_set_writable(rpc, on_writable, build);
	rpc_call_set_cancelled(rpc, on_cancelled, build);
	template_store_get_base(service->templates, request->runtime, request->memory_size_mb,
				on_ready, build);
	on_period(build);
	return 0;
}

static void handle_build(struct rpc_call *rpc, const ProtobufCMessage *request, void *user)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	if (start_build(user, rpc, (const Mayfly__V1__BuildTemplateRequest *)request, &error) < 0)
		rpc_call_fail(rpc, &error);
}

/* -- Drop -- */

static void handle_drop(struct rpc_call *rpc, const ProtobufCMessage *request, void *user)
{
	const Mayfly__V1__DropTemplateRequest *message =
		(const Mayfly__V1__DropTemplateRequest *)request;
	Mayfly__V1__DropTemplateResponse response = MAYFLY__V1__DROP_TEMPLATE_RESPONSE__INIT;
	const struct template_service *service = user;
	_cleanup_error_ struct error error = ERROR_INIT;
	int r = template_store_drop(service->templates, message->template_id, &error);

	if (r >= 0) {
		rpc_call_reply(rpc, &response.base);
		return;
	}
	if (r == -ENOENT)
		(void)error_set(&error, ERROR_NOT_FOUND, "template_id", "There is no template %s.",
				message->template_id);
	else if (r == -EBUSY)
		(void)error_set(&error, ERROR_CONFLICT, "template_id",
				"The template %s is being built.", message->template_id);
	(void)error_set_errno(&error, r, "Cannot drop the template");
	rpc_call_fail(rpc, &error);
}

/* -- the service -- */

static const struct rpc_method_handler handlers[] = {
	{ "List", handle_list },
	{ "Build", handle_build },
	{ "Drop", handle_drop },
	{ 0 },
};

int template_service_register(struct rpc_server *server, struct loop *loop,
			      struct template_store *templates,
			      const struct runtime_catalogue *catalogue,
			      struct template_service **ret, struct error *error)
{
	struct template_service *service = calloc(1, sizeof(*service));
	int r;

	if (!service)
		return error_set_errno(error, ENOMEM, "Cannot make the template service");
	service->loop = loop;
	service->templates = templates;
	service->catalogue = catalogue;
	r = rpc_server_add_service(server, &mayfly__v1__template_service__descriptor, handlers,
				   service, error);
	if (r < 0) {
		free(service);
		return r;
	}
	*ret = service;
	return 0;
}

struct template_service *template_service_free(struct template_service *service)
{
	free(service);
	return NULL;
}
