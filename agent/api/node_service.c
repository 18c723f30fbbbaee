/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/node_service.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/utsname.h>

#include "agent/api/node_internal.h"
#include "agent/api/node_messages.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"

#define MAX_SPARES 1000

static char *borrow(const char *text)
{
	return (char *)(uintptr_t)(text ? text : "");
}

static void fail_memory(struct rpc_call *rpc)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	(void)error_set_errno(&error, ENOMEM, "Cannot answer");
	rpc_call_fail(rpc, &error);
}

/* -- gauges -- */

static uint64_t resident_bytes(void)
{
	_cleanup_close_ int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	unsigned long long total, resident;
	char text[128];
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

	if (n <= 0)
		return 0;
	text[n] = '\0';
	if (sscanf(text, "%llu %llu", &total, &resident) != 2)
		return 0;
	return resident * (unsigned long long)sysconf(_SC_PAGESIZE);
}

static void count_function(const struct function *function, void *arg)
{
	if (function->version == 0)
		++*(uint32_t *)arg;
}

void node_fill_gauges(const struct node_service *service, Mayfly__V1__Gauges *to)
{
	struct invoker_gauges invoker;
	struct pool_gauges pool;
	struct event_gauges events = { 0 };

	pool_gauges(service->config.pool, &pool);
	invoker_gauges(service->config.invoker, &invoker);
	to->time_us = clock_realtime_us();
	to->sandboxes_total = pool.total;
	to->sandboxes_busy = pool.busy;
	to->sandboxes_frozen = pool.frozen;
	to->sandboxes_spare = pool.spare;
	to->sandboxes_starting = pool.starting;
	to->invocations_running = invoker.running;
	to->invocations_queued = pool.waiting;
	to->invocations_total = invoker.total;
	to->function_errors_total = invoker.function_errors;
	to->cold_starts_total = invoker.cold_starts;
	to->throttles_total = invoker.throttles;
	to->waiting_bytes = invoker.waiting_bytes;
	to->waiting_refused_total = invoker.waiting_refused;
	to->waiting_displaced_total = invoker.waiting_displaced;
	if (service->config.events)
		event_queue_gauges(service->config.events, &events);
	to->events_waiting = events.waiting;
	to->events_running = events.running;
	to->events_received_total = events.received;
	to->events_dropped_total = events.dropped;
	to->events_oldest_age_us = (uint64_t)events.oldest_age_us;
	to->restores_total = pool.starts;
	to->restore_failures_total = pool.start_failures;
	to->evictions_total = pool.evictions;
	to->memory_committed_bytes = pool.memory_committed_bytes;
	to->memory_budget_bytes = pool.memory_budget_bytes;
	to->agent_resident_bytes = resident_bytes();
	directory_each(service->config.directory, count_function, &to->functions_total);
}

/* -- GetNode -- */

/* The value behind "model name"; the caller frees. */
static char *read_cpu_model(void)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/cpuinfo", "re");
	char line[512];

	while (file && fgets(line, sizeof(line), file)) {
		const char *value = strncmp(line, "model name", 10) == 0 ? strchr(line, ':') : NULL;

		if (value)
			return strndup(value + 1 + strspn(value + 1, " \t"),
				       strcspn(value + 1 + strspn(value + 1, " \t"), "\n"));
	}
	return strdup("");
}

static int read_machine(struct node_service *service)
{
	long pages = sysconf(_SC_PHYS_PAGES);
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct utsname uts;

	service->cpu_model = read_cpu_model();
	service->kernel_release = strdup(uname(&uts) == 0 ? uts.release : "");
	service->cpu_count = cpus > 0 ? (unsigned)cpus : 0;
	service->memory_bytes = pages > 0 ? (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
	return service->cpu_model && service->kernel_release ? 0 : -ENOMEM;
}

/* Lists that the answer points to. */
struct node_lists {
	char **warnings;
	Mayfly__V1__RuntimeImage *images;
	Mayfly__V1__RuntimeImage **pointers;
};

static void node_lists_clear(struct node_lists *lists)
{
	free(lists->warnings);
	free(lists->images);
	free(lists->pointers);
}

static size_t count_strings(const char *const *strings)
{
	size_t n = 0;

	while (strings && strings[n])
		n++;
	return n;
}

static int fill_warnings(const struct node_service *service, const struct vm_host_info *info,
			 Mayfly__V1__Node *node, struct node_lists *lists)
{
	size_t of_host = count_strings(info->warnings);
	size_t of_agent = count_strings(service->config.warnings);
	const char *of_tenants = service->config.context->tenants
					 ? tenants_warning(service->config.context->tenants)
					 : NULL;

	lists->warnings = calloc(of_host + of_agent + 2, sizeof(char *));
	if (!lists->warnings)
		return -ENOMEM;
	for (size_t i = 0; i < of_host; i++)
		lists->warnings[i] = borrow(info->warnings[i]);
	for (size_t i = 0; i < of_agent; i++)
		lists->warnings[of_host + i] = borrow(service->config.warnings[i]);
	node->warnings = lists->warnings;
	node->n_warnings = of_host + of_agent;
	if (of_tenants)
		lists->warnings[node->n_warnings++] = borrow(of_tenants);
	return 0;
}

static int fill_images(const struct runtime_catalogue *catalogue, Mayfly__V1__Node *node,
		       struct node_lists *lists)
{
	size_t n = catalogue ? runtime_catalogue_count(catalogue) : 0;

	lists->images = calloc(n + 1, sizeof(*lists->images));
	lists->pointers = calloc(n + 1, sizeof(*lists->pointers));
	if (!lists->images || !lists->pointers)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct runtime_image *from = runtime_catalogue_at(catalogue, i);

		mayfly__v1__runtime_image__init(&lists->images[i]);
		lists->images[i].runtime = from->name;
		lists->images[i].digest = borrow(from->file.digest);
		lists->images[i].size_bytes = from->file.size_bytes;
		lists->pointers[i] = &lists->images[i];
	}
	node->runtimes = lists->pointers;
	node->n_runtimes = n;
	return 0;
}

static void fill_host(const struct vm_host_info *info, Mayfly__V1__Node *node)
{
	node->accelerator = info->accelerator == ACCELERATOR_KVM
				    ? MAYFLY__V1__ACCELERATOR__ACCELERATOR_KVM
				    : MAYFLY__V1__ACCELERATOR__ACCELERATOR_TCG;
	node->accelerator_reason = borrow(info->accelerator_reason);
	node->qemu_version = borrow(info->qemu_version);
	node->libvirt_version = borrow(info->libvirt_version);
	node->libvirt_uri = borrow(info->libvirt_uri);
	node->cgroup_mode = borrow(info->cgroup_mode);
	node->guest_kernel = borrow(info->guest_kernel);
	node->initramfs_bytes = info->initramfs_bytes;
	node->init_resident_bytes = info->init_resident_bytes;
}

static void handle_get_node(struct rpc_call *rpc, const ProtobufCMessage *request _unused_,
			    void *user)
{
	const struct node_service *service = user;
	const struct vm_host_info *info = vm_host_info(service->config.vm_host);
	_cleanup_(node_lists_clear) struct node_lists lists = { 0 };
	Mayfly__V1__Gauges gauges = MAYFLY__V1__GAUGES__INIT;
	Mayfly__V1__Node node = MAYFLY__V1__NODE__INIT;

	node.version = borrow(MAYFLY_VERSION);
	node.node_id = borrow(service->config.node_id);
	node.started_at_us = service->config.started_us;
	node.state_dir = borrow(service->config.state_dir);
	node.images_dir = borrow(service->config.images_dir);
	node.cpu_model = service->cpu_model;
	node.cpu_count = service->cpu_count;
	node.memory_bytes = service->memory_bytes;
	node.kernel_release = service->kernel_release;
	node.account_id = borrow(service->config.context->tenant);
	node.region = borrow(service->config.context->region);
	fill_host(info, &node);
	node_fill_gauges(service, &gauges);
	node.gauges = &gauges;
	if (fill_warnings(service, info, &node, &lists) < 0 ||
	    fill_images(service->config.catalogue, &node, &lists) < 0) {
		fail_memory(rpc);
		return;
	}
	rpc_call_reply(rpc, &node.base);
}

/* -- ListSandboxes: the memory of each is read by a job -- */

struct sandbox_list {
	struct job job;
	struct rpc_call *rpc;
	const char *tenant;
	const char *function_name;
	Mayfly__V1__ListSandboxesResponse *response; /* owned, deep */
	bool failed;
};

static Mayfly__V1__Sandbox *copy_sandbox(const struct sandbox_facts *facts)
{
	Mayfly__V1__Sandbox message;

	node_message_sandbox(&message, facts);
	return (Mayfly__V1__Sandbox *)node_message_copy(&message.base);
}

static void collect_sandbox(const struct sandbox_facts *facts, void *arg)
{
	struct sandbox_list *list = arg;
	Mayfly__V1__ListSandboxesResponse *response = list->response;
	Mayfly__V1__Sandbox **grown;

	if (strcmp(facts->tenant, list->tenant) != 0 ||
	    (list->function_name[0] && strcmp(facts->function_name, list->function_name) != 0))
		return;
	grown = reallocarray(response->sandboxes, response->n_sandboxes + 1,
			     sizeof(Mayfly__V1__Sandbox *));
	if (grown)
		response->sandboxes = grown;
	if (grown && (grown[response->n_sandboxes] = copy_sandbox(facts)))
		response->n_sandboxes++;
	else
		list->failed = true;
}

static void read_memory(struct job *job)
{
	struct sandbox_list *list = container_of(job, struct sandbox_list, job);

	for (size_t i = 0; i < list->response->n_sandboxes; i++) {
		Mayfly__V1__Sandbox *sandbox = list->response->sandboxes[i];
		uint64_t bytes;

		/* One that ended meanwhile has none. */
		if (sandbox->pid > 0 && vm_read_anonymous_bytes((pid_t)sandbox->pid, &bytes) >= 0)
			sandbox->anonymous_bytes = bytes;
	}
}

static void sandbox_list_answer(struct sandbox_list *list)
{
	if (list->failed)
		fail_memory(list->rpc);
	else
		rpc_call_reply(list->rpc, &list->response->base);
	if (list->response)
		mayfly__v1__list_sandboxes_response__free_unpacked(list->response, NULL);
	free(list);
}

static void memory_read(struct job *job)
{
	sandbox_list_answer(container_of(job, struct sandbox_list, job));
}

static void handle_list_sandboxes(struct rpc_call *rpc, const ProtobufCMessage *request, void *user)
{
	const Mayfly__V1__ListSandboxesRequest *message =
		(const Mayfly__V1__ListSandboxesRequest *)request;
	const struct node_service *service = user;
	_cleanup_error_ struct error error = ERROR_INIT;
	struct sandbox_list *list;
	const char *tenant;

	if (api_resolve_tenant(service->config.context, message->tenant, &tenant, &error) < 0) {
		rpc_call_fail(rpc, &error);
		return;
	}
	list = calloc(1, sizeof(*list));
	if (!list) {
		fail_memory(rpc);
		return;
	}
	list->rpc = rpc;
	list->tenant = tenant;
	list->function_name = message->function_name;
	list->response = calloc(1, sizeof(*list->response));
	if (!list->response) {
		list->failed = true;
		sandbox_list_answer(list);
		return;
	}
	mayfly__v1__list_sandboxes_response__init(list->response);
	pool_each(service->config.pool, collect_sandbox, list);
	list->job = (struct job){ .work = read_memory, .done = memory_read };
	loop_submit(service->config.loop, &list->job);
}

/* -- ListTemplates -- */

static void handle_list_templates(struct rpc_call *rpc, const ProtobufCMessage *request _unused_,
				  void *user)
{
	const struct node_service *service = user;
	struct node_templates templates = { 0 };

	if (node_templates_collect(service->config.templates, &templates) < 0)
		fail_memory(rpc);
	else
		rpc_call_reply(rpc, &templates.message->base);
	node_templates_clear(&templates);
}

/* -- SetStartPolicy -- */

static void policy_set(unsigned ended, unsigned spares_ready, const struct error *error, void *arg)
{
	Mayfly__V1__SetStartPolicyResponse response = MAYFLY__V1__SET_START_POLICY_RESPONSE__INIT;
	struct rpc_call *rpc = arg;

	if (error) {
		rpc_call_fail(rpc, error);
		return;
	}
	response.ended = ended;
	response.spares_ready = spares_ready;
	rpc_call_reply(rpc, &response.base);
}

static int find_policy(const Mayfly__V1__SetStartPolicyRequest *message, enum pool_policy *ret,
		       struct error *error)
{
	static const enum pool_policy policies[] = {
		[MAYFLY__V1__START_POLICY__START_POLICY_UNSPECIFIED] = POOL_POLICY_DEFAULT,
		[MAYFLY__V1__START_POLICY__START_POLICY_SPARE] = POOL_POLICY_SPARE,
		[MAYFLY__V1__START_POLICY__START_POLICY_RESTORE] = POOL_POLICY_RESTORE,
		[MAYFLY__V1__START_POLICY__START_POLICY_BOOT] = POOL_POLICY_BOOT,
	};

	if ((unsigned)message->policy >= ARRAY_SIZE(policies))
		return error_set(error, ERROR_INVALID_PARAMETER, "policy",
				 "The start policy must be SPARE, RESTORE, BOOT or unspecified.");
	if (message->spares > MAX_SPARES)
		return error_set(error, ERROR_INVALID_PARAMETER, "spares",
				 "At most %d spares can be asked for.", MAX_SPARES);
	*ret = policies[message->policy];
	return 0;
}

static int set_policy(const struct node_service *service, struct rpc_call *rpc,
		      const Mayfly__V1__SetStartPolicyRequest *message, struct error *error)
{
	const struct api_context *context = service->config.context;
	struct function_reference reference;
	const struct function *function;
	enum pool_policy policy = POOL_POLICY_DEFAULT;
	const char *tenant;
	int r = find_policy(message, &policy, error);

	if (r >= 0)
		r = api_resolve_tenant(context, message->tenant, &tenant, error);
	if (r >= 0)
		r = function_parse_reference(message->function_name, "", context->region, tenant,
					     &reference, error);
	if (r < 0)
		return r;
	function = directory_find_qualified(service->config.directory, tenant, reference.name,
					    reference.qualifier);
	if (!function)
		return directory_set_not_found(service->config.directory, tenant, reference.name,
					       reference.qualifier, error);
	if (function->state != FUNCTION_ACTIVE)
		return error_set(error, ERROR_CONFLICT, NULL,
				 "The operation cannot be performed at this time. The function is "
				 "currently in the following state: %s",
				 function_state_name(function->state));
	return pool_set_policy(service->config.pool, function, policy, message->spares,
			       message->end_idle_sandboxes, policy_set, rpc, error);
}

static void handle_set_start_policy(struct rpc_call *rpc, const ProtobufCMessage *request,
				    void *user)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	if (set_policy(user, rpc, (const Mayfly__V1__SetStartPolicyRequest *)request, &error) < 0)
		rpc_call_fail(rpc, &error);
}

/* -- the service -- */

static const struct rpc_method_handler handlers[] = {
	{ "GetNode", handle_get_node },
	{ "ListSandboxes", handle_list_sandboxes },
	{ "ListTemplates", handle_list_templates },
	{ "Watch", node_handle_watch },
	{ "SetStartPolicy", handle_set_start_policy },
	{ 0 },
};

int node_service_register(struct rpc_server *server, const struct node_service_config *config,
			  struct node_service **ret, struct error *error)
{
	_cleanup_(node_service_free_p) struct node_service *service = calloc(1, sizeof(*service));
	int r;

	if (!service)
		return error_set_errno(error, ENOMEM, "Cannot make the node service");
	LIST_INIT(&service->watches);
	service->config = *config;
	template_feed_init(&service->templates, config->templates);
	r = read_machine(service);
	if (r < 0)
		return error_set_errno(error, r, "Cannot make the node service");
	r = rpc_server_add_service(server, &mayfly__v1__node_service__descriptor, handlers, service,
				   error);
	if (r < 0)
		return r;
	r = node_watch_listen(service, error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(service);
	return 0;
}

struct template_feed *node_service_template_feed(struct node_service *service)
{
	return &service->templates;
}

void node_service_stop(struct node_service *service)
{
	node_watch_end_all(service);
}

struct node_service *node_service_free(struct node_service *service)
{
	if (!service)
		return NULL;
	template_feed_stop(&service->templates);
	node_watch_free_all(service);
	free(service->cpu_model);
	free(service->kernel_release);
	free(service);
	return NULL;
}
