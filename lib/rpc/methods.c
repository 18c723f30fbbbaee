/* SPDX-License-Identifier: Apache-2.0 */

/* The method table: names and message types from protobuf-c's service descriptors, and
 * what streams, which those do not say, from the FileDescriptorSet. */

#include "rpc/internal.h"

#include <errno.h>
#include <google/protobuf/descriptor.pb-c.h>

int methods_init(struct method_table *table, struct slice descriptors, struct error *e)
{
	ProtobufCMessage *set =
		protobuf_c_message_unpack(&google__protobuf__file_descriptor_set__descriptor, NULL,
					  descriptors.len, descriptors.data);
	if (!set)
		return error_set(e, ERROR_INTERNAL, NULL, "the descriptor set cannot be decoded");
	*table = (struct method_table){ .set = set, .bytes = descriptors };
	return 0;
}

void methods_free(struct method_table *table)
{
	struct method *method, *next;

	HASH_ITER (hh, table->by_path, method, next) {
		HASH_DEL(table->by_path, method);
		free(method->path);
		free(method);
	}
	protobuf_c_message_free_unpacked(table->set, NULL);
	table->set = NULL;
}

struct method *methods_find(const struct method_table *table, struct slice path)
{
	struct method *method = NULL;
	HASH_FIND(hh, table->by_path, path.data, path.len, method);
	return method;
}

/* Is `full` package "." name? */
static bool is_service(const char *full, const char *package, const char *name)
{
	size_t n = package ? strlen(package) : 0;
	if (n == 0)
		return strcmp(full, name) == 0;
	return strncmp(full, package, n) == 0 && full[n] == '.' && strcmp(full + n + 1, name) == 0;
}

static const Google__Protobuf__ServiceDescriptorProto *
find_service(const struct method_table *table, const char *full)
{
	const Google__Protobuf__FileDescriptorSet *set =
		(const Google__Protobuf__FileDescriptorSet *)table->set;

	for (size_t i = 0; i < set->n_file; i++)
		for (size_t k = 0; k < set->file[i]->n_service; k++)
			if (is_service(full, set->file[i]->package, set->file[i]->service[k]->name))
				return set->file[i]->service[k];
	return NULL;
}

static const Google__Protobuf__MethodDescriptorProto *
find_method(const Google__Protobuf__ServiceDescriptorProto *service, const char *name)
{
	for (size_t i = 0; i < service->n_method; i++)
		if (strcmp(service->method[i]->name, name) == 0)
			return service->method[i];
	return NULL;
}

/* The row of the method, or the last one. */
static const struct rpc_method_handler *find_handler(const struct rpc_method_handler *handlers,
						     const char *name)
{
	while (handlers->method && strcmp(handlers->method, name) != 0)
		handlers++;
	return handlers;
}

static int check_handlers(const ProtobufCServiceDescriptor *service,
			  const struct rpc_method_handler *handlers, struct error *e)
{
	for (; handlers->method; handlers++)
		if (!protobuf_c_service_descriptor_get_method_by_name(service, handlers->method))
			return error_set(e, ERROR_INVALID_PARAMETER, NULL, "%s has no method %s",
					 service->name, handlers->method);
	return 0;
}

int methods_add_service(struct method_table *table, const ProtobufCServiceDescriptor *service,
			const struct rpc_method_handler *handlers, void *user,
			uint32_t max_request_bytes, struct error *e)
{
	int r = check_handlers(service, handlers, e);
	if (r < 0)
		return r;
	const Google__Protobuf__ServiceDescriptorProto *described =
		find_service(table, service->name);
	if (!described)
		return error_set(e, ERROR_INVALID_PARAMETER, NULL,
				 "%s is not in the descriptor set", service->name);

	for (unsigned i = 0; i < service->n_methods; i++) {
		const ProtobufCMethodDescriptor *from = &service->methods[i];
		const Google__Protobuf__MethodDescriptorProto *streams =
			find_method(described, from->name);
		if (!streams)
			return error_set(e, ERROR_INVALID_PARAMETER, NULL,
					 "%s.%s is not in the descriptor set", service->name,
					 from->name);
		struct method *method = calloc(1, sizeof(*method));
		if (!method || asprintf(&method->path, "/%s/%s", service->name, from->name) < 0) {
			free(method);
			return error_set_errno(e, ENOMEM, "cannot add %s", service->name);
		}
		method->input = from->input;
		method->client_streaming = streams->client_streaming;
		method->server_streaming = streams->server_streaming;
		const struct rpc_method_handler *handler = find_handler(handlers, from->name);
		method->handler = handler->handler;
		method->max_request_bytes =
			handler->max_request_bytes ? handler->max_request_bytes : max_request_bytes;
		method->user = user;
		HASH_ADD_KEYPTR(hh, table->by_path, method->path, strlen(method->path), method);
	}
	return 0;
}
