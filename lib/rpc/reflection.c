/* SPDX-License-Identifier: Apache-2.0 */

/* grpc.reflection.v1 and v1alpha, from the descriptor set. The two have the same messages, so
 * v1alpha's requests are decoded and its answers made with the types of v1. */

#include "rpc/internal.h"

#include <errno.h>
#include <google/protobuf/descriptor.pb-c.h>
#include <grpc/reflection/v1/reflection.pb-c.h>
#include <grpc/reflection/v1alpha/reflection.pb-c.h>

#include "rpc/check.h"

typedef Grpc__Reflection__V1__ServerReflectionRequest request_t;
typedef Grpc__Reflection__V1__ServerReflectionResponse response_t;
#define REQUEST_IS(x)  GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##x
#define RESPONSE_IS(x) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##x

struct reflection {
	const Google__Protobuf__FileDescriptorSet *set; /* borrowed from the method table */
	struct slice *files;                            /* owned array; its bytes, file by file */
	const char **services;                          /* owned array of borrowed names */
	size_t n_services;
};

/* The rest of `symbol` behind `name` and a dot (or "" when equal), NULL when it is another. */
static const char *behind(const char *symbol, const char *name)
{
	size_t n = strlen(name);
	if (strncmp(symbol, name, n) != 0)
		return NULL;
	if (symbol[n] == '\0')
		return symbol + n;
	return symbol[n] == '.' ? symbol + n + 1 : NULL;
}

static bool enum_has(const Google__Protobuf__EnumDescriptorProto *e, const char *symbol)
{
	const char *rest = behind(symbol, e->name);
	if (!rest)
		return false;
	for (size_t i = 0; *rest && i < e->n_value; i++)
		if (strcmp(e->value[i]->name, rest) == 0)
			return true;
	return *rest == '\0';
}

/* Nesting of our own descriptors is small. */
static bool message_has(const Google__Protobuf__DescriptorProto *m, const char *symbol)
{
	const char *rest = behind(symbol, m->name);
	if (!rest)
		return false;
	if (*rest == '\0')
		return true;
	for (size_t i = 0; i < m->n_field; i++)
		if (strcmp(m->field[i]->name, rest) == 0)
			return true;
	for (size_t i = 0; i < m->n_enum_type; i++)
		if (enum_has(m->enum_type[i], rest))
			return true;
	for (size_t i = 0; i < m->n_nested_type; i++)
		if (message_has(m->nested_type[i], rest))
			return true;
	return false;
}

static bool service_has(const Google__Protobuf__ServiceDescriptorProto *s, const char *symbol)
{
	const char *rest = behind(symbol, s->name);
	if (!rest)
		return false;
	for (size_t i = 0; *rest && i < s->n_method; i++)
		if (strcmp(s->method[i]->name, rest) == 0)
			return true;
	return *rest == '\0';
}

static bool file_has(const Google__Protobuf__FileDescriptorProto *file, const char *symbol)
{
	const char *rest = symbol;
	if (file->package && file->package[0])
		rest = behind(symbol, file->package);
	if (!rest)
		return false;
	for (size_t i = 0; i < file->n_service; i++)
		if (service_has(file->service[i], rest))
			return true;
	for (size_t i = 0; i < file->n_message_type; i++)
		if (message_has(file->message_type[i], rest))
			return true;
	for (size_t i = 0; i < file->n_enum_type; i++)
		if (enum_has(file->enum_type[i], rest))
			return true;
	return false;
}

static void send_response(struct rpc_call *call, const response_t *response)
{
	if (rpc_call_send(call, &response->base) < 0) /* then on_cancelled comes */
		log_debug("rpc: a reflection client has gone");
}

static void send_error(struct rpc_call *call, response_t *response, int code, const char *text)
{
	Grpc__Reflection__V1__ErrorResponse error = GRPC__REFLECTION__V1__ERROR_RESPONSE__INIT;

	error.error_code = code;
	error.error_message = (char *)text;
	response->error_response = &error;
	response->message_response_case = RESPONSE_IS(ERROR_RESPONSE);
	send_response(call, response);
}

static void send_file(struct rpc_call *call, response_t *response, struct slice file)
{
	Grpc__Reflection__V1__FileDescriptorResponse files =
		GRPC__REFLECTION__V1__FILE_DESCRIPTOR_RESPONSE__INIT;
	ProtobufCBinaryData bytes = { file.len, (uint8_t *)file.data };

	files.file_descriptor_proto = &bytes;
	files.n_file_descriptor_proto = 1;
	response->file_descriptor_response = &files;
	response->message_response_case = RESPONSE_IS(FILE_DESCRIPTOR_RESPONSE);
	send_response(call, response);
}

static void send_file_by_name(struct reflection *reflection, struct rpc_call *call,
			      response_t *response, const char *name)
{
	for (size_t i = 0; i < reflection->set->n_file; i++)
		if (strcmp(reflection->set->file[i]->name, name) == 0) {
			send_file(call, response, reflection->files[i]);
			return;
		}
	send_error(call, response, GRPC_STATUS_NOT_FOUND, "No such file");
}

static void send_file_by_symbol(struct reflection *reflection, struct rpc_call *call,
				response_t *response, const char *symbol)
{
	for (size_t i = 0; i < reflection->set->n_file; i++)
		if (file_has(reflection->set->file[i], symbol)) {
			send_file(call, response, reflection->files[i]);
			return;
		}
	send_error(call, response, GRPC_STATUS_NOT_FOUND, "No such symbol");
}

static void send_services(struct reflection *reflection, struct rpc_call *call,
			  response_t *response)
{
	Grpc__Reflection__V1__ListServiceResponse list =
		GRPC__REFLECTION__V1__LIST_SERVICE_RESPONSE__INIT;
	size_t n = reflection->n_services;
	_cleanup_free_ Grpc__Reflection__V1__ServiceResponse *services =
		calloc(n, sizeof(*services));
	_cleanup_free_ Grpc__Reflection__V1__ServiceResponse **pointers =
		calloc(n, sizeof(*pointers));

	if (!services || !pointers) {
		send_error(call, response, GRPC_STATUS_RESOURCE_EXHAUSTED, "Out of memory");
		return;
	}
	for (size_t i = 0; i < n; i++) {
		grpc__reflection__v1__service_response__init(&services[i]);
		services[i].name = (char *)reflection->services[i];
		pointers[i] = &services[i];
	}
	list.service = pointers;
	list.n_service = n;
	response->list_services_response = &list;
	response->message_response_case = RESPONSE_IS(LIST_SERVICES_RESPONSE);
	send_response(call, response);
}

static void on_written(void *call)
{
	rpc_call_read_next(call);
}

static void on_cancelled(void *call)
{
	rpc_call_finish(call);
}

static void on_info(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	struct reflection *reflection = user;
	const request_t *request = (const request_t *)message;
	response_t response = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;

	if (!request) {
		rpc_call_finish(call);
		return;
	}
	response.valid_host = request->host;
	response.original_request = (request_t *)request;
	rpc_call_set_writable(call, on_written, call);
	rpc_call_set_cancelled(call, on_cancelled, call);
	switch (request->message_request_case) {
	case REQUEST_IS(FILE_BY_FILENAME):
		send_file_by_name(reflection, call, &response, request->file_by_filename);
		break;
	case REQUEST_IS(FILE_CONTAINING_SYMBOL):
		send_file_by_symbol(reflection, call, &response, request->file_containing_symbol);
		break;
	case REQUEST_IS(LIST_SERVICES):
		send_services(reflection, call, &response);
		break;
	case REQUEST_IS(FILE_CONTAINING_EXTENSION):
	case REQUEST_IS(ALL_EXTENSION_NUMBERS_OF_TYPE):
		send_error(call, &response, GRPC_STATUS_NOT_FOUND, "There are no extensions");
		break;
	default:
		send_error(call, &response, GRPC_STATUS_INVALID_ARGUMENT, "Unknown request");
	}
}

static int split_files(struct reflection *reflection, struct slice set, struct error *e)
{
	uint32_t number;
	unsigned wire_type;
	struct slice payload;
	size_t n = 0;

	reflection->files = calloc(reflection->set->n_file + 1, sizeof(*reflection->files));
	if (!reflection->files)
		return error_set_errno(e, ENOMEM, "cannot make the reflection service");
	while (rpc_wire_next(&set, &number, &wire_type, &payload) > 0)
		if (number == 1 && n < reflection->set->n_file)
			reflection->files[n++] = payload;
	return 0;
}

/* Decodes and answers v1alpha with v1's types. */
static void use_v1_types(struct method_table *methods)
{
	const char *path = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
	struct method *method = methods_find(methods, slice_from_string(path));

	method->input = &grpc__reflection__v1__server_reflection_request__descriptor;
}

int reflection_new(struct rpc_server *server, struct error *e)
{
	static const struct rpc_method_handler handlers[] = {
		{ "ServerReflectionInfo", on_info },
		{ 0 },
	};

	struct reflection *reflection = calloc(1, sizeof(*reflection));
	if (!reflection)
		return error_set_errno(e, ENOMEM, "cannot make the reflection service");
	server->reflection = reflection;
	reflection->set = (const Google__Protobuf__FileDescriptorSet *)server->methods.set;
	reflection_add_service(reflection, "grpc.health.v1.Health");

	int r = split_files(reflection, server->methods.bytes, e);
	if (r == 0)
		r = rpc_server_add_service(server,
					   &grpc__reflection__v1__server_reflection__descriptor,
					   handlers, reflection, e);
	if (r == 0)
		r = rpc_server_add_service(
			server, &grpc__reflection__v1alpha__server_reflection__descriptor, handlers,
			reflection, e);
	if (r == 0)
		use_v1_types(&server->methods);
	return r;
}

void reflection_add_service(struct reflection *reflection, const char *service)
{
	const char **grown =
		realloc(reflection->services, (reflection->n_services + 1) * sizeof(*grown));
	if (!grown) {
		log_error("rpc: out of memory: reflection does not list %s", service);
		return;
	}
	reflection->services = grown;
	reflection->services[reflection->n_services++] = service;
}

struct reflection *reflection_free(struct reflection *reflection)
{
	if (!reflection)
		return NULL;
	free(reflection->files);
	free(reflection->services);
	free(reflection);
	return NULL;
}
