/* SPDX-License-Identifier: Apache-2.0 */

/* Who the client is: an access key of a file or of the environment. */

#include <errno.h>
#include <string.h>

#include "client/internal.h"
#include "mayfly/fs.h"

#define MAX_FILE_BYTES 4096
#define SCHEME         "Mayfly "

/* "ID:SECRET" and a line's end. */
static int from_file(const char *path, struct buf *ret, struct error *e)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	int r = fs_read_file(path, MAX_FILE_BYTES, &text);

	if (r < 0)
		return error_set_errno(e, r, "cannot read %s", path);
	size_t len = strcspn(buf_string(&text), "\r\n");
	const char *colon = memchr(buf_string(&text), ':', len);
	if (!colon || strspn(buf_string(&text) + len, "\r\n") != text.len - len)
		return error_set(e, ERROR_INVALID_PARAMETER, NULL,
				 "%s is no access key: one line ACCESS_KEY_ID:SECRET_ACCESS_KEY",
				 path);
	r = buf_append_string(ret, SCHEME);
	return r < 0 ? r : buf_append(ret, text.data, len);
}

static int from_environment(const char *id_variable, const char *secret_variable, struct buf *ret)
{
	const char *id = getenv(id_variable), *secret = getenv(secret_variable);

	if (!id || !*id || !secret || !*secret)
		return 0;
	return buf_append_format(ret, SCHEME "%s:%s", id, secret);
}

int client_find_credentials(const struct client_options *options, enum client_transport transport,
			    struct buf *ret, struct error *e)
{
	int r = 0;

	if (options->access_key_file)
		r = from_file(options->access_key_file, ret, e);
	else if (transport != CLIENT_UNIX)
		r = from_environment("MAYFLY_ACCESS_KEY_ID", "MAYFLY_SECRET_ACCESS_KEY", ret);
	/* Keys of AWS go nowhere but to a node that has proved who it is. */
	if (r == 0 && ret->len == 0 && transport == CLIENT_TLS)
		r = from_environment("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", ret);
	if (r == -ENOMEM || r == -EMSGSIZE)
		return error_set_errno(e, r, "cannot keep the access key");
	return r;
}
