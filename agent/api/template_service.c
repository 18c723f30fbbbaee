/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/template_service.h"

#include <errno.h>
#include <string.h>

#include "agent/api/node_messages.h"
#include "agent/functions/function.h"

#define STEP_BYTES 128

struct template_service {
	struct template_feed *templates;           /* borrowed */
	const struct runtime_catalogue *catalogue; /* borrowed; may be NULL */
	LIST_HEAD(, build) builds;                 /* each until its template is there or failed */
};

/* One Build. A client that goes away leaves it: the template is built all the same, and others may
 * wait for it. */
struct build {
	LIST_ENTRY(build) link;
	struct template_follower follower;
	struct rpc_call *call;                        /* NULL once it is answered */
	const Mayfly__V1__BuildTemplateRequest *wish; /* the call's */
	char step[STEP_BYTES];
	bool step_waits; /* for the message in flight; only the latest is worth sending */
};

static char *borrow(const char *text)
{
	return (char *)(uintptr_t)text;
}

/* -- List -- */

static void on_list(struct rpc_call *call, const ProtobufCMessage *request _unused_, void *user)
{
	const struct template_service *service = user;
	_cleanup_(node_templates_clear) struct node_templates templates = { 0 };
	_cleanup_error_ struct error error = ERROR_INIT;

	if (node_templates_collect(service->templates->store, &templates) == 0) {
		rpc_call_reply(call, &templates.message->base);
		return;
	}
	(void)error_set_errno(&error, ENOMEM, "Cannot list the templates");
	rpc_call_fail(call, &error);
}

/* -- Build -- */

static void build_free(struct build *build)
{
	template_feed_leave(&build->follower);
	LIST_REMOVE(build, link);
	free(build);
}

static void send_step(void *arg)
{
	struct build *build = arg;
	Mayfly__V1__BuildTemplateProgress progress = MAYFLY__V1__BUILD_TEMPLATE_PROGRESS__INIT;

	progress.step = build->step;
	if (build->step_waits && rpc_call_send(build->call, &progress.base) == 0)
		build->step_waits = false;
}

static void see_step(struct build *build, const struct template_facts *facts)
{
	if (facts->kind != TEMPLATE_BASE || facts->state != TEMPLATE_BUILDING || !facts->step ||
	    facts->memory_mb != build->wish->memory_size_mb ||
	    strcmp(facts->runtime, build->wish->runtime) != 0 ||
	    strcmp(facts->step, build->step) == 0)
		return;
	(void)snprintf(build->step, sizeof(build->step), "%s", facts->step);
	build->step_waits = true;
	send_step(build);
}

static void on_change(const struct template_facts *facts, bool gone _unused_, void *arg)
{
	see_step(arg, facts);
}

static void on_first_look(const struct template_facts *facts, void *arg)
{
	see_step(arg, facts);
}

static void on_cancelled(void *arg)
{
	struct build *build = arg;

	template_feed_leave(&build->follower);
	rpc_call_finish(build->call);
	build->call = NULL;
	build->wish = NULL;
}

static void on_ready(struct template *template, const struct error *error, void *arg)
{
	struct build *build = arg;
	Mayfly__V1__BuildTemplateProgress progress = MAYFLY__V1__BUILD_TEMPLATE_PROGRESS__INIT;
	Mayfly__V1__Template message;
	struct template_facts facts;

	if (build->call && !template) {
		rpc_call_fail(build->call, error);
	} else if (build->call) {
		template_get_facts(template, &facts);
		node_message_template(&message, &facts);
		progress.step = borrow("ready");
		progress.template_ = &message;
		rpc_call_reply(build->call, &progress.base);
	}
	build_free(build);
}

static int check_build(const struct template_service *service,
		       const Mayfly__V1__BuildTemplateRequest *request, struct error *error)
{
	uint32_t memory_mb = request->memory_size_mb;

	if (service->catalogue && !runtime_catalogue_find(service->catalogue, request->runtime))
		return error_set(error, ERROR_INVALID_PARAMETER, "runtime",
				 "This node has no image of the runtime '%s'.", request->runtime);
	if (memory_mb < FUNCTION_MEMORY_MIN_MB || memory_mb > FUNCTION_MEMORY_MAX_MB)
		return error_set(error, ERROR_INVALID_PARAMETER, "memory_size_mb",
				 "The memory size must be between %d and %d MB.",
				 FUNCTION_MEMORY_MIN_MB, FUNCTION_MEMORY_MAX_MB);
	return 0;
}

static int begin_build(struct template_service *service, struct rpc_call *call,
		       const Mayfly__V1__BuildTemplateRequest *request, struct error *error)
{
	struct build *build;
	int r;

	r = check_build(service, request, error);
	if (r < 0)
		return r;
	build = calloc(1, sizeof(*build));
	if (!build)
		return error_set_errno(error, ENOMEM, "Cannot build the template");
	build->call = call;
	build->wish = request;
	build->follower = (struct template_follower){ .fn = on_change, .arg = build };
	LIST_INSERT_HEAD(&service->builds, build, link);
	template_feed_follow(service->templates, &build->follower);
	rpc_call_set_writable(call, send_step, build);
	rpc_call_set_cancelled(call, on_cancelled, build);
	/* A build under way has a step already, a new one tells its first while it is begun. */
	template_store_each(service->templates->store, on_first_look, build);
	template_store_get_base(service->templates->store, request->runtime,
				request->memory_size_mb, on_ready, build);
	return 0;
}

static void on_build(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	if (begin_build(user, call, (const Mayfly__V1__BuildTemplateRequest *)request, &error) < 0)
		rpc_call_fail(call, &error);
}

/* -- Drop -- */

static int drop(const struct template_service *service, const char *id, struct error *error)
{
	int r = template_store_drop(service->templates->store, id, NULL);

	if (r == -ENOENT)
		return error_set(error, ERROR_NOT_FOUND, "template_id",
				 "There is no template '%s'.", id);
	if (r == -EBUSY)
		return error_set(error, ERROR_CONFLICT, "template_id",
				 "The template '%s' is being built.", id);
	return r < 0 ? error_set_errno(error, r, "Cannot drop the template '%s'", id) : 0;
}

static void on_drop(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	const Mayfly__V1__DropTemplateRequest *message =
		(const Mayfly__V1__DropTemplateRequest *)request;
	Mayfly__V1__DropTemplateResponse response = MAYFLY__V1__DROP_TEMPLATE_RESPONSE__INIT;
	_cleanup_error_ struct error error = ERROR_INIT;

	if (drop(user, message->template_id, &error) < 0)
		rpc_call_fail(call, &error);
	else
		rpc_call_reply(call, &response.base);
}

/* -- the service -- */

static const struct rpc_method_handler handlers[] = {
	{ "List", on_list },
	{ "Build", on_build },
	{ "Drop", on_drop },
	{ NULL, NULL },
};

int template_service_register(struct rpc_server *server, struct template_feed *templates,
			      const struct runtime_catalogue *catalogue,
			      struct template_service **ret, struct error *error)
{
	_cleanup_(template_service_free_p) struct template_service *service =
		calloc(1, sizeof(*service));
	int r;

	if (!service)
		return error_set_errno(error, ENOMEM, "Cannot serve templates");
	LIST_INIT(&service->builds);
	service->templates = templates;
	service->catalogue = catalogue;
	r = rpc_server_add_service(server, &mayfly__v1__template_service__descriptor, handlers,
				   service, error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(service);
	return 0;
}

struct template_service *template_service_free(struct template_service *service)
{
	struct build *build;

	if (!service)
		return NULL;
	while ((build = LIST_FIRST(&service->builds)))
		build_free(build);
	free(service);
	return NULL;
}
