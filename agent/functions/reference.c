/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/functions/function.h"
#include "agent/functions/text.h"

/* Lambda's own words for what this file accepts. */
#define REFERENCE_PATTERN                                                                          \
	"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:)" \
	"?(\\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\\$LATEST|[a-zA-Z0-9-_]+))?"
#define NAME_PATTERN      "[a-zA-Z0-9-_]+"
#define QUALIFIER_PATTERN "[a-zA-Z0-9$_-]+"

/* arn, partition, service, region, account, "function", name, qualifier */
#define PARTS_MAX         8

struct part {
	const char *text; /* borrowed */
	size_t len;
};

struct parts {
	struct part at[PARTS_MAX];
	size_t count;
	size_t next; /* the first that is not taken yet */
};

static bool part_equals(struct part part, const char *text)
{
	return part.len == strlen(text) && memcmp(part.text, text, part.len) == 0;
}

static bool split(const char *text, struct parts *ret)
{
	ret->count = ret->next = 0;
	for (;;) {
		size_t len = strcspn(text, ":");

		if (ret->count == PARTS_MAX)
			return false;
		ret->at[ret->count++] = (struct part){ text, len };
		if (!text[len])
			return true;
		text += len + 1;
	}
}

static bool is_name(struct part part)
{
	for (size_t i = 0; i < part.len; i++)
		if (!is_name_character(part.text[i]))
			return false;
	return part.len > 0;
}

static bool is_account(struct part part)
{
	for (size_t i = 0; i < part.len; i++)
		if (!is_digit(part.text[i]))
			return false;
	return part.len == TENANT_ID_DIGITS;
}

static void skip(struct part *part, size_t len)
{
	part->text += len;
	part->len -= len;
}

static size_t count_lower(struct part part)
{
	size_t n = 0;

	while (n < part.len && is_lower(part.text[n]))
		n++;
	return n;
}

/* -[a-z]+ */
static bool take_word(struct part *rest, struct part *ret)
{
	struct part word = *rest;

	if (word.len < 2 || word.text[0] != '-')
		return false;
	skip(&word, 1);
	word.len = count_lower(word);
	if (word.len == 0)
		return false;
	*ret = word;
	skip(rest, word.len + 1);
	return true;
}

/* gov, iso, iso and a letter */
static bool is_region_group(struct part word)
{
	return part_equals(word, "gov") || part_equals(word, "iso") ||
	       (word.len == 4 && memcmp(word.text, "iso", 3) == 0);
}

/* (eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1} */
static bool is_region(struct part part)
{
	struct part words[2];
	size_t count = 0;

	if (part.len > 5 && memcmp(part.text, "eusc-", 5) == 0)
		skip(&part, 5);
	if (count_lower(part) != 2)
		return false;
	skip(&part, 2);
	while (count < ARRAY_SIZE(words) && take_word(&part, &words[count]))
		count++;
	if (count == 2 && !is_region_group(words[0]))
		return false;
	return count > 0 && part.len == 2 && part.text[0] == '-' && is_digit(part.text[1]);
}

/* Takes the next part as a prefix if it looks like one and something that can be a name follows;
 * otherwise it is the name itself. */
static bool take_prefix(struct parts *parts, bool (*matches)(struct part), struct part *ret)
{
	if (parts->next + 1 >= parts->count || !matches(parts->at[parts->next]) ||
	    !is_name(parts->at[parts->next + 1]))
		return false;
	*ret = parts->at[parts->next++];
	return true;
}

static bool is_function_word(struct part part)
{
	return part_equals(part, "function");
}

/* aws[a-zA-Z-]* or nothing */
static bool is_partition(struct part part)
{
	if (part.len == 0)
		return true;
	for (size_t i = 0; i < part.len; i++)
		if (!is_letter(part.text[i]) && part.text[i] != '-')
			return false;
	return part.len >= 3 && memcmp(part.text, "aws", 3) == 0;
}

struct pieces {
	struct part region;
	struct part account;
	struct part name;
	struct part qualifier;
};

/* A full ARN has region, account and "function"; short forms may leave out any. */
static bool take_pieces(struct parts *parts, struct pieces *ret)
{
	struct part word = { 0 };
	bool whole = parts->count >= 4 && part_equals(parts->at[0], "arn");

	if (whole && (!is_partition(parts->at[1]) || !part_equals(parts->at[2], "lambda")))
		return false;
	if (whole)
		parts->next = 3;
	if (!take_prefix(parts, is_region, &ret->region) && whole)
		return false;
	if (!take_prefix(parts, is_account, &ret->account) && whole)
		return false;
	if (!take_prefix(parts, is_function_word, &word) && whole)
		return false;

	ret->name = parts->at[parts->next++];
	if (parts->next < parts->count)
		ret->qualifier = parts->at[parts->next++];
	if (parts->next != parts->count || !is_name(ret->name))
		return false;
	return !ret->qualifier.text || is_name(ret->qualifier) ||
	       part_equals(ret->qualifier, FUNCTION_LATEST);
}

static int check_qualifier(const char *qualifier, struct error *error)
{
	bool good = true;

	if (strlen(qualifier) > FUNCTION_QUALIFIER_MAX)
		return text_refuse_length(error, "qualifier", "qualifier", qualifier,
					  FUNCTION_QUALIFIER_MAX);
	for (const char *c = qualifier; *c; c++)
		good = good && (is_name_character(*c) || *c == '$');
	if (!good)
		return text_refuse_pattern(error, "qualifier", "qualifier", qualifier,
					   QUALIFIER_PATTERN);
	return 0;
}

static int check_owner(const struct pieces *pieces, const char *region, const char *tenant,
		       struct error *error)
{
	if (pieces->region.text && !part_equals(pieces->region, region))
		return error_set(error, ERROR_NOT_FOUND, "function_name",
				 "Functions from '%.*s' are not reachable in this region ('%s')",
				 (int)pieces->region.len, pieces->region.text, region);
	if (pieces->account.text && !part_equals(pieces->account, tenant))
		return error_set(error, ERROR_ACCESS_DENIED, "function_name",
				 "Functions of account %.*s are not accessible to account %s.",
				 (int)pieces->account.len, pieces->account.text, tenant);
	return 0;
}

/* A name that cannot exist is one that does not. */
static int refuse_long_name(const struct pieces *pieces, const char *region, const char *tenant,
			    struct error *error)
{
	return error_set(error, ERROR_NOT_FOUND, "function_name",
			 "Function not found: arn:aws:lambda:%s:%s:function:%.*s", region, tenant,
			 (int)pieces->name.len, pieces->name.text);
}

static void copy_part(char *to, struct part part)
{
	memcpy(to, part.text, part.len);
	to[part.len] = 0;
}

int function_parse_reference(const char *text, const char *qualifier, const char *region,
			     const char *tenant, struct function_reference *ret,
			     struct error *error)
{
	struct pieces pieces = { 0 };
	struct parts parts;
	int r;

	if (strlen(text) > FUNCTION_REFERENCE_MAX)
		return text_refuse_length(error, "function_name", "functionName", text,
					  FUNCTION_REFERENCE_MAX);
	if (!split(text, &parts) || !take_pieces(&parts, &pieces))
		return text_refuse_pattern(error, "function_name", "functionName", text,
					   REFERENCE_PATTERN);
	qualifier = qualifier ? qualifier : "";
	r = check_qualifier(qualifier, error);
	if (r < 0)
		return r;
	r = check_owner(&pieces, region, tenant, error);
	if (r < 0)
		return r;
	if (pieces.qualifier.text && qualifier[0] && !part_equals(pieces.qualifier, qualifier))
		return error_set(error, ERROR_INVALID_PARAMETER, "qualifier",
				 "The derived qualifier from the function name does not match the "
				 "specified qualifier.");
	if (pieces.name.len > FUNCTION_NAME_MAX)
		return refuse_long_name(&pieces, region, tenant, error);
	if (pieces.qualifier.len > FUNCTION_QUALIFIER_MAX)
		return text_refuse_length(error, "function_name", "qualifier",
					  pieces.qualifier.text, FUNCTION_QUALIFIER_MAX);

	*ret = (struct function_reference){ 0 };
	copy_part(ret->name, pieces.name);
	if (pieces.qualifier.text)
		copy_part(ret->qualifier, pieces.qualifier);
	else
		copy_part(ret->qualifier, (struct part){ qualifier, strlen(qualifier) });
	ret->has_qualifier = ret->qualifier[0] != 0;
	return 0;
}

bool function_reference_account(const char *text, char ret[TENANT_ID_DIGITS + 1])
{
	struct pieces pieces = { 0 };
	struct parts parts;

	if (strlen(text) > FUNCTION_REFERENCE_MAX || !split(text, &parts) ||
	    !take_pieces(&parts, &pieces) || !pieces.account.text)
		return false;
	copy_part(ret, pieces.account);
	return true;
}

int function_validate_name(const char *name, struct error *error)
{
	if (strlen(name) > FUNCTION_NAME_MAX)
		return text_refuse_length(error, "function_name", "functionName", name,
					  FUNCTION_NAME_MAX);
	if (!is_name((struct part){ name, strlen(name) }))
		return text_refuse_pattern(error, "function_name", "functionName", name,
					   NAME_PATTERN);
	return 0;
}

bool tenant_id_is_valid(const char *tenant)
{
	return is_account((struct part){ tenant, strlen(tenant) });
}
