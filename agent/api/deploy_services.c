/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/deploy_services.h"

#include <errno.h>

#include "agent/api/alias_service.h"
#include "agent/api/function_service.h"
#include "agent/api/layer_service.h"
#include "agent/api/tag_service.h"

struct deploy_services {
	struct function_service *functions;
	struct alias_service *aliases;
	struct layer_service *layers;
	struct tag_service *tags;
};

int deploy_services_register(struct rpc_server *server, struct directory *directory,
			     const struct api_context *context, struct deploy_services **ret,
			     struct error *error)
{
	struct deploy_services *services = calloc(1, sizeof(*services));
	int r;

	if (!services)
		return error_set_errno(error, ENOMEM, "Cannot serve functions");
	*ret = services;
	r = function_service_register(server, directory, context, &services->functions, error);
	if (r == 0)
		r = alias_service_register(server, directory, context, &services->aliases, error);
	if (r == 0)
		r = layer_service_register(server, directory, context, &services->layers, error);
	if (r == 0)
		r = tag_service_register(server, directory, context, &services->tags, error);
	return r;
}

struct deploy_services *deploy_services_free(struct deploy_services *services)
{
	if (!services)
		return NULL;
	function_service_free(services->functions);
	alias_service_free(services->aliases);
	layer_service_free(services->layers);
	tag_service_free(services->tags);
	free(services);
	return NULL;
}
