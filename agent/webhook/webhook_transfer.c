/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/webhook/webhook_transfer.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "agent/webhook/webhook_address.h"
#include "mayfly/clock.h"

#define HEADERS_MAX_BYTES (64U << 10)
#define ANSWER_MAX_BYTES  (64U << 10)

/* -- what libcurl asks -- */

/* Where a connection is made, whatever led there: a name, a number in any notation, a second name
 * server. */
static curl_socket_t on_open(void *arg, curlsocktype purpose _unused_, struct curl_sockaddr *to)
{
	struct webhook_transfer *transfer = arg;
	bool good = transfer->allow_private ? webhook_address_is_host(&to->addr, to->addrlen)
					    : webhook_address_is_public(&to->addr, to->addrlen);

	transfer->is_allowed |= good;
	if (good)
		return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
	transfer->is_forbidden = true;
	return CURL_SOCKET_BAD;
}

static size_t on_header(char *data _unused_, size_t size, size_t count, void *arg)
{
	struct webhook_transfer *transfer = arg;

	transfer->header_bytes += size * count;
	return transfer->header_bytes <= HEADERS_MAX_BYTES ? size * count : 0;
}

/* Nobody reads it; a sender of much is cut off. */
static size_t on_answer(char *data _unused_, size_t size, size_t count, void *arg)
{
	struct webhook_transfer *transfer = arg;

	transfer->answer_bytes += size * count;
	return transfer->answer_bytes <= ANSWER_MAX_BYTES ? size * count : 0;
}

/* -- options -- */

static CURLcode set_number(CURL *easy, CURLoption option, long value)
{
	return curl_easy_setopt(easy, option, value);
}

static CURLcode set_text(CURL *easy, CURLoption option, const char *value)
{
	return curl_easy_setopt(easy, option, value);
}

/* Whom it may reach, and how it is known that it is they. */
static CURLcode set_trust(struct webhook_transfer *transfer, const struct webhooks_config *config)
{
	CURL *easy = transfer->easy;
	CURLcode code =
		set_text(easy, CURLOPT_PROTOCOLS_STR, config->allow_plain ? "https,http" : "https");

	if (!code)
		code = set_number(easy, CURLOPT_FOLLOWLOCATION, 0);
	if (!code)
		code = set_text(easy, CURLOPT_PROXY, ""); /* not even from the environment */
	if (!code)
		code = set_number(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1);
	if (!code)
		code = curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
	if (!code)
		code = curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer);
	if (!code)
		code = set_number(easy, CURLOPT_SSL_VERIFYPEER, 1);
	if (!code)
		code = set_number(easy, CURLOPT_SSL_VERIFYHOST, 2);
	if (!code)
		code = set_number(easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
	if (code || !config->ca_file[0])
		return code;
	code = set_text(easy, CURLOPT_CAINFO, config->ca_file);
	return code ? code : set_text(easy, CURLOPT_CAPATH, NULL);
}

static CURLcode set_bounds(struct webhook_transfer *transfer, const struct webhooks_config *config)
{
	CURL *easy = transfer->easy;
	CURLcode code = set_number(easy, CURLOPT_TIMEOUT_MS, (long)config->timeout_ms);

	if (!code)
		code = set_number(easy, CURLOPT_CONNECTTIMEOUT_MS,
				  (long)config->timeout_ms / 2 + 1);
	if (!code)
		code = set_number(easy, CURLOPT_NOSIGNAL, 1);
	/* A name that does not resolve in time is left to its thread. */
	if (!code)
		code = set_number(easy, CURLOPT_QUICK_EXIT, 1);
	if (!code)
		code = curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	if (!code)
		code = curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
	if (!code)
		code = curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer);
	if (!code)
		code = curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
	return code;
}

static int add_header(struct webhook_transfer *transfer, const char *name, const char *value)
{
	_cleanup_free_ char *line = NULL;
	struct curl_slist *longer;

	if (asprintf(&line, "%s:%s%s", name, value[0] ? " " : "", value) < 0) {
		line = NULL;
		return -ENOMEM;
	}
	longer = curl_slist_append(transfer->headers, line);
	if (!longer)
		return -ENOMEM;
	transfer->headers = longer;
	return 0;
}

/* Of this try, with the time of this try. */
static int add_signatures(struct webhook_transfer *transfer)
{
	struct webhook_post *post = transfer->post;
	int64_t now_s = clock_realtime_us() / USEC_PER_SEC;
	char header[WEBHOOK_HEADER_BYTES] = "", one[WEBHOOK_SIGNATURE_BYTES], time[24];
	size_t len = 0;
	int r = 0;

	for (size_t i = 0; i < post->keys.count && r == 0; i++) {
		r = webhook_sign(slice_new(post->keys.bytes[i], WEBHOOK_KEY_BYTES), post->id, now_s,
				 post->body, one);
		if (r == 0)
			len += (size_t)snprintf(header + len, sizeof(header) - len, "%s%s",
						i ? " " : "", one);
	}
	explicit_bzero(&post->keys, sizeof(post->keys));
	(void)snprintf(time, sizeof(time), "%" PRId64, now_s);
	if (r == 0)
		r = add_header(transfer, "webhook-id", post->id);
	if (r == 0)
		r = add_header(transfer, "webhook-timestamp", time);
	return r < 0 || len == 0 ? r : add_header(transfer, "webhook-signature", header);
}

static CURLcode set_request(struct webhook_transfer *transfer)
{
	const struct webhook_post *post = transfer->post;
	CURL *easy = transfer->easy;
	CURLcode code;

	if (add_header(transfer, "Content-Type", "application/json") < 0 ||
	    add_header(transfer, "Mayfly-Delivery-Id", post->id) < 0 ||
	    add_header(transfer, "Mayfly-Condition", post->condition) < 0 ||
	    add_signatures(transfer) < 0 ||
	    add_header(transfer, "Expect", "") < 0) /* the body comes at once */
		return CURLE_OUT_OF_MEMORY;
	code = set_text(easy, CURLOPT_URL, post->url);
	if (!code)
		code = set_text(easy, CURLOPT_USERAGENT, "mayfly/" MAYFLY_VERSION);
	if (!code)
		code = curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
	if (!code)
		code = set_number(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	if (!code)
		code = curl_easy_setopt(easy, CURLOPT_POSTFIELDS, post->body.data);
	if (!code)
		code = curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
					(curl_off_t)post->body.len);
	if (!code)
		code = curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
	return code ? code : curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->detail);
}

int webhook_transfer_prepare(struct webhook_transfer *transfer,
			     const struct webhooks_config *config)
{
	CURLcode code = CURLE_OUT_OF_MEMORY;

	transfer->allow_private = config->allow_private;
	transfer->easy = curl_easy_init();
	if (transfer->easy)
		code = set_trust(transfer, config);
	if (!code)
		code = set_bounds(transfer, config);
	if (!code)
		code = set_request(transfer);
	if (!code)
		return 0;
	webhook_transfer_end(transfer);
	return -ENOMEM;
}

void webhook_transfer_end(struct webhook_transfer *transfer)
{
	curl_easy_cleanup(transfer->easy);
	curl_slist_free_all(transfer->headers);
	transfer->easy = NULL;
	transfer->headers = NULL;
}

/* -- what it came to -- */

static enum webhook_result result_of_status(long status)
{
	if (status >= 200 && status < 300)
		return WEBHOOK_TAKEN;
	return status == 408 || status == 425 || status == 429 || status >= 500 ? WEBHOOK_AGAIN
										: WEBHOOK_REFUSED;
}

static bool is_final(CURLcode code)
{
	return code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT ||
	       code == CURLE_LOGIN_DENIED;
}

void webhook_transfer_judge(struct webhook_transfer *transfer, CURLcode code)
{
	long status = 0;

	(void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	/* A status that came counts, however the rest of the answer ended; 1xx is none. */
	if (status >= 200 && (!code || code == CURLE_WRITE_ERROR)) {
		transfer->result = result_of_status(status);
		(void)snprintf(transfer->why, sizeof(transfer->why), "It answered with status %ld.",
			       status);
		return;
	}
	if (transfer->is_forbidden && !transfer->is_allowed) {
		transfer->result = WEBHOOK_REFUSED;
		(void)snprintf(transfer->why, sizeof(transfer->why),
			       "Its address must not be reached from this node.");
		return;
	}
	transfer->result = is_final(code) ? WEBHOOK_REFUSED : WEBHOOK_AGAIN;
	(void)snprintf(transfer->why, sizeof(transfer->why), "%s.",
		       transfer->detail[0] ? transfer->detail : curl_easy_strerror(code));
}
