/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/layer_output.h"
#include "cli/package.h"
#include "cli/verbs.h"

static int read_content(const struct arguments *arguments, struct buf *ret, struct error *e)
{
	const char *zip = argument(arguments, "zip-file");
	const char *dir = argument(arguments, "dir");

	if (!zip == !dir)
		return error_set(e, ERROR_INVALID_PARAMETER, "zip-file",
				 "give the content with one of --zip-file and --dir");
	return dir ? package_from_directory(dir, ret, e) : package_from_file(zip, ret, e);
}

static int fill(const struct arguments *arguments, Mayfly__V1__PublishLayerVersionRequest *request,
		struct error *e)
{
	const char *description = argument(arguments, "description");
	const char *license = argument(arguments, "license-info");

	request->layer_name = (char *)operand(arguments, 0);
	if (description)
		request->description = (char *)description;
	if (license)
		request->license_info = (char *)license;
	int r = argument_list(arguments, "compatible-runtimes", &request->compatible_runtimes,
			      &request->n_compatible_runtimes, e);
	if (r == 0)
		r = argument_list(arguments, "compatible-architectures",
				  &request->compatible_architectures,
				  &request->n_compatible_architectures, e);
	return r;
}

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__LayerVersion *version = NULL;
	_cleanup_buf_ struct buf zip = BUF_INIT;
	Mayfly__V1__PublishLayerVersionRequest request =
		MAYFLY__V1__PUBLISH_LAYER_VERSION_REQUEST__INIT;

	int r = read_content(arguments, &zip, &context->error);
	if (r == 0)
		r = fill(arguments, &request, &context->error);
	request.zip_file = (ProtobufCBinaryData){ zip.len, zip.data };
	if (r == 0)
		r = client_layer_publish(context->client, &request, &version, &context->error);
	argument_list_free(request.compatible_runtimes, request.n_compatible_runtimes);
	argument_list_free(request.compatible_architectures, request.n_compatible_architectures);
	return r < 0 ? r : layer_print(context, version);
}

static const struct verb_option options[] = {
	{ "layer-name", 0, OPTION_TEXT, "NAME", "instead of the operand NAME" },
	{ "zip-file", 0, OPTION_FILE, "fileb://FILE", "the content, a ZIP" },
	{ "dir", 0, OPTION_FILE, "FOLDER", "make the ZIP of this folder" },
	{ "description", 0, OPTION_TEXT, "TEXT", "for people" },
	{ "license-info", 0, OPTION_TEXT, "TEXT", "for people, too" },
	{ "compatible-runtimes", 0, OPTION_LIST, "RUNTIME...", "what it is for" },
	{ "compatible-architectures", 0, OPTION_LIST, "ARCHITECTURE...", "x86_64, arm64" },
	{ 0 },
};

const struct verb verb_layer_publish = {
	.name = "layer publish",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "layer-name",
	.summary = "Publish a version of a layer",
	.help = "Functions find its files below /opt, once they name the ARN that this prints.\n\n"
		"Examples:\n"
		"  mayfly layer publish tools --dir ./layer --compatible-runtimes python3.13\n"
		"  mayfly function update-configuration area --layers ARN\n",
	.options = options,
	.run = run,
};
