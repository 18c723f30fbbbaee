/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/functions/destination.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/functions/text.h"

#define HOST_MAX 253
#define PORT_MAX 65535UL

bool destination_queue_name_is_valid(const char *name)
{
	size_t len = 0;

	while (len <= DESTINATION_QUEUE_MAX && is_name_character(name[len]))
		len++;
	return len > 0 && len <= DESTINATION_QUEUE_MAX && !name[len];
}

char *destination_queue_arn(const char *region, const char *tenant, const char *name)
{
	char *arn = NULL;

	return asprintf(&arn, "arn:aws:sqs:%s:%s:%s", region, tenant, name) < 0 ? NULL : arn;
}

static int parse_queue_arn(const char *text, const char *region, const char *tenant,
			   char ret[DESTINATION_QUEUE_MAX + 1])
{
	const char *name = strrchr(text, ':');
	_cleanup_free_ char *arn = NULL;

	if (!name || !destination_queue_name_is_valid(name + 1))
		return -EINVAL;
	arn = destination_queue_arn(region, tenant, name + 1);
	if (!arn)
		return -ENOMEM;
	if (strcmp(arn, text) != 0)
		return -EINVAL;
	memcpy(ret, name + 1, strlen(name + 1) + 1);
	return 0;
}

int destination_parse_queue(const char *text, const char *region, const char *tenant,
			    char ret[DESTINATION_QUEUE_MAX + 1])
{
	if (!destination_queue_name_is_valid(text))
		return parse_queue_arn(text, region, tenant, ret);
	memcpy(ret, text, strlen(text) + 1);
	return 0;
}

static int parse_function(const char *text, const char *region, const char *tenant,
			  struct destination *ret)
{
	struct function_reference reference;

	if (function_parse_reference(text, NULL, region, tenant, &reference, NULL) < 0)
		return -EINVAL;
	memcpy(ret->name, reference.name, sizeof(reference.name));
	memcpy(ret->qualifier, reference.qualifier, sizeof(reference.qualifier));
	return 0;
}

/* -- URLs: few forms, and those without a doubt about what the host is -- */

static bool is_host_character(char c)
{
	return is_letter(c) || is_digit(c) || c == '.' || c == '-' || c == '_';
}

static bool is_v6_character(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' ||
	       c == '.';
}

/* Behind the host, or NULL. */
static const char *skip_host(const char *host)
{
	const char *end = host;

	if (*host == '[') {
		for (end = host + 1; is_v6_character(*end); end++)
			;
		return end > host + 1 && *end == ']' ? end + 1 : NULL;
	}
	while (is_host_character(*end))
		end++;
	return end > host && end - host <= HOST_MAX ? end : NULL;
}

static const char *skip_port(const char *text)
{
	unsigned long port = 0;
	size_t digits = 0;

	if (*text != ':')
		return text;
	for (text++; is_digit(text[digits]) && digits < 6; digits++)
		port = port * 10 + (unsigned long)(text[digits] - '0');
	return port > 0 && port <= PORT_MAX ? text + digits : NULL;
}

/* What may stand in a URI (RFC 3986); no fragment. */
static bool is_uri_character(char c)
{
	return is_letter(c) || is_digit(c) || (c && strchr("-._~:/?@!$&'()*+,;=%[]", c));
}

static int parse_url(const char *host, struct destination *ret)
{
	const char *rest = skip_host(host);

	rest = rest ? skip_port(rest) : NULL;
	if (!rest || (*rest && *rest != '/' && *rest != '?'))
		return -EINVAL;
	while (is_uri_character(*rest))
		rest++;
	if (*rest)
		return -EINVAL;
	ret->kind = DESTINATION_WEBHOOK;
	return 0;
}

static const char *skip_prefix(const char *text, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(text, prefix, len) == 0 ? text + len : NULL;
}

int destination_parse(const char *text, const char *region, const char *tenant,
		      struct destination *ret)
{
	const char *rest;

	*ret = (struct destination){ .kind = DESTINATION_FUNCTION };
	if (strnlen(text, DESTINATION_MAX + 1) > DESTINATION_MAX)
		return -EINVAL;
	rest = skip_prefix(text, "https://");
	if (rest)
		return parse_url(rest, ret);
	rest = skip_prefix(text, "http://");
	ret->is_plain = rest != NULL;
	if (rest)
		return parse_url(rest, ret);
	if (skip_prefix(text, "arn:aws:lambda:"))
		return parse_function(text, region, tenant, ret);
	ret->kind = DESTINATION_QUEUE;
	return parse_queue_arn(text, region, tenant, ret->name);
}

void destination_show(const char *text, char out[DESTINATION_SHOWN_BYTES])
{
	const char *plain = skip_prefix(text, "http://");
	const char *host = plain ? plain : skip_prefix(text, "https://");
	const char *end = host ? skip_host(host) : NULL;

	if (end)
		end = skip_port(end);
	if (!host)
		(void)snprintf(out, DESTINATION_SHOWN_BYTES, "%s", text);
	else if (!end || (*end && *end != '/' && *end != '?'))
		(void)snprintf(out, DESTINATION_SHOWN_BYTES, "%s...",
			       plain ? "http://" : "https://");
	else
		(void)snprintf(out, DESTINATION_SHOWN_BYTES, "%.*s%s", (int)(end - text), text,
			       *end ? "/..." : "");
}

/* -- dead letters -- */

#define TARGET_PATTERN "(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()"

int destination_check_dead_letters(const struct function_config *config, const char *region,
				   const char *tenant, struct error *error)
{
	const char *target = config->dead_letter_target;
	struct destination destination;

	if (!target)
		return 0;
	if (!skip_prefix(target, "arn:"))
		return text_refuse_pattern(error, "dead_letter_config",
					   "deadLetterConfig.targetArn", target, TARGET_PATTERN);
	if (destination_parse(target, region, tenant, &destination) == 0 &&
	    destination.kind == DESTINATION_QUEUE)
		return 0;
	return error_set(error, ERROR_INVALID_PARAMETER, "dead_letter_config",
			 "The target ARN %.*s%s is invalid: dead letters go to a queue, "
			 "arn:aws:sqs:%s:%s:NAME.",
			 shown_length(target, SHOWN_BYTES), target, shown_rest(target, SHOWN_BYTES),
			 region, tenant);
}
