/* SPDX-License-Identifier: Apache-2.0 */

/* A custom runtime that makes the requests its events tell it to, and reports what the Runtime API
 * answered. An event is a JSON string of steps "METHOD|PATH|HEADERS|BODY", parted by '~'; '@' in a
 * path stands for the request id, ';' parts headers. The event "report" is answered with a JSON
 * array of [status, body] of the steps since the last report. MODE changes what happens at INIT.
 * Static, so that it runs where no library is. */

#include <netinet/in.h>
#include <arpa/inet.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define API "/2018-06-01/runtime"

static char answer[8 << 20];
static char *answer_body;
static int answer_status;
static char results[1 << 20];
static char request_id[64];
static char next_headers[16384];

static int connect_api(void)
{
	char host[64];
	const char *api = getenv("AWS_LAMBDA_RUNTIME_API");
	const char *colon = api ? strchr(api, ':') : NULL;
	if (!colon || (size_t)(colon - api) >= sizeof(host))
		exit(90);
	memcpy(host, api, (size_t)(colon - api));
	host[colon - api] = '\0';
	struct sockaddr_in address = { .sin_family = AF_INET };
	address.sin_port = htons((unsigned short)strtoul(colon + 1, NULL, 10));
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (inet_pton(AF_INET, host, &address.sin_addr) != 1 || fd < 0 ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		exit(91);
	return fd;
}

static void send_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
		if (n <= 0)
			return; /* the answer tells why */
		data += n;
		len -= (size_t)n;
	}
}

static void receive_answer(int fd)
{
	size_t len = 0, want = 0;
	char *body = NULL;
	answer_status = 0;
	while (!body || len < (size_t)(body - answer) + want) {
		ssize_t n = recv(fd, answer + len, sizeof(answer) - 1 - len, 0);
		if (n <= 0)
			break;
		len += (size_t)n;
		answer[len] = '\0';
		if (!body && (body = strstr(answer, "\r\n\r\n"))) {
			body += 4;
			char *length = strcasestr(answer, "\r\nContent-Length:");
			want = length && length < body ? strtoul(length + 17, NULL, 10) : 0;
		}
	}
	close(fd);
	answer[len] = '\0';
	answer_body = body ? body : answer + len;
	if (len > 12)
		answer_status = (int)strtol(answer + 9, NULL, 10);
}

/* `headers` end with "\r\n" each. */
static void request(const char *method, const char *path, const char *headers, const char *body,
		    size_t len)
{
	char head[8192];
	int fd = connect_api();
	int n = snprintf(head, sizeof(head),
			 "%s %s HTTP/1.1\r\nHost: api\r\n%sContent-Length: %zu\r\n\r\n", method,
			 path, headers, len);
	send_all(fd, head, (size_t)n);
	send_all(fd, body, len);
	receive_answer(fd);
}

static void add_json_text(const char *text)
{
	size_t at = strlen(results);
	results[at++] = '"';
	for (; *text && at < sizeof(results) - 8; text++) {
		if (*text == '"' || *text == '\\')
			results[at++] = '\\';
		if (*text == '\r')
			continue;
		if (*text == '\n') {
			results[at++] = '\\';
			results[at++] = 'n';
			continue;
		}
		results[at++] = *text;
	}
	results[at++] = '"';
	results[at] = '\0';
}

static void record(const char *text)
{
	size_t at = strlen(results);
	snprintf(results + at, sizeof(results) - at, "%s[%d,", at ? "," : "", answer_status);
	add_json_text(text);
	snprintf(results + strlen(results), sizeof(results) - strlen(results), "]");
}

static void chunk(int fd, const char *text)
{
	char head[32];
	int n = snprintf(head, sizeof(head), "%zx\r\n", strlen(text));
	send_all(fd, head, (size_t)n);
	send_all(fd, text, strlen(text));
	send_all(fd, "\r\n", 2);
}

/* A streaming response, which with `failing` ends in an error told by trailers. The body of the
 * error is base64 of {"errorMessage":"in the trailer","errorType":"Function.Broken"}. */
static void stream_response(bool failing)
{
	char head[512];
	int fd = connect_api();
	int n = snprintf(head, sizeof(head),
			 "POST " API "/invocation/%s/response HTTP/1.1\r\nHost: api\r\n"
			 "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
			 "Transfer-Encoding: chunked\r\nContent-Type: text/x-stream\r\n"
			 "Trailer: Lambda-Runtime-Function-Error-Type, "
			 "Lambda-Runtime-Function-Error-Body\r\n\r\n",
			 request_id);
	send_all(fd, head, (size_t)n);
	for (int i = 0; i < 4; i++) {
		chunk(fd, "part;");
		usleep(50000);
	}
	send_all(fd, "0\r\n", 3);
	if (failing) {
		const char *trailers = "Lambda-Runtime-Function-Error-Type: Function.Broken\r\n"
				       "Lambda-Runtime-Function-Error-Body: "
				       "eyJlcnJvck1lc3NhZ2UiOiJpbiB0aGUgdHJhaWxlciIsImVycm9yVHlwZSI"
				       "6IkZ1bmN0aW9uLkJyb2tlbiJ9\r\n";
		send_all(fd, trailers, strlen(trailers));
	}
	send_all(fd, "\r\n", 2);
	receive_answer(fd);
	record(answer_body);
}

/* Promises more than it sends; with `exits` it ends then and there. */
static void truncated_response(bool exits)
{
	char head[512];
	int fd = connect_api();
	int n = snprintf(head, sizeof(head),
			 "POST " API "/invocation/%s/response HTTP/1.1\r\nHost: api\r\n"
			 "Content-Length: 100\r\n\r\nshort",
			 request_id);
	send_all(fd, head, (size_t)n);
	if (exits)
		exit(7);
	shutdown(fd, SHUT_WR);
	receive_answer(fd);
	record(answer_body);
}

/* What is no HTTP. */
static void raw_bytes(const char *text)
{
	int fd = connect_api();
	send_all(fd, text, strlen(text));
	send_all(fd, "\r\n\r\n", 4);
	receive_answer(fd);
	record(answer_body);
}

static char *next_part(char **text, char separator)
{
	char *part = *text ? *text : (char *)"";
	char *end = strchr(part, separator);
	*text = end ? end + 1 : NULL;
	if (end)
		*end = '\0';
	return part;
}

static void run_step(char *step)
{
	char path[1024] = "", headers[4096] = "";
	char *method = next_part(&step, '|');
	char *pattern = next_part(&step, '|');
	char *header_list = next_part(&step, '|');
	char *body = step ? step : (char *)"";

	if (strcmp(method, "stream") == 0) {
		stream_response(strcmp(pattern, "fail") == 0);
		return;
	}
	if (strcmp(method, "truncated") == 0) {
		truncated_response(strcmp(pattern, "exit") == 0);
		return;
	}
	if (strcmp(method, "raw") == 0) {
		raw_bytes(pattern);
		return;
	}
	if (strcmp(method, "exit") == 0)
		exit((int)strtol(pattern, NULL, 10));
	if (strcmp(method, "signal") == 0)
		raise((int)strtol(pattern, NULL, 10));
	if (strcmp(method, "headers") == 0) {
		answer_status = 0;
		record(next_headers);
		return;
	}
	if (strcmp(method, "print") == 0) {
		dprintf(1, "%s\n", pattern);
		return;
	}
	if (strcmp(method, "large") == 0) { /* a response of so many bytes */
		size_t len = strtoul(pattern, NULL, 10);
		char *text = malloc(len);
		if (!text)
			exit(92);
		memset(text, '7', len);
		snprintf(path, sizeof(path), API "/invocation/%s/response", request_id);
		request("POST", path, "", text, len);
		free(text);
		record(answer_body);
		return;
	}
	char *at = strchr(pattern, '@');
	if (at) {
		*at = '\0';
		snprintf(path, sizeof(path), API "%s%s%s", pattern, request_id, at + 1);
	} else {
		snprintf(path, sizeof(path), "%s%s", *pattern == '/' ? API : "/", pattern);
	}
	while (header_list && *header_list) {
		size_t used = strlen(headers);
		snprintf(headers + used, sizeof(headers) - used, "%s\r\n",
			 next_part(&header_list, ';'));
	}
	request(method, path, headers, body, strlen(body));
	record(answer_body);
}

static void serve_event(void)
{
	char event[65536], path[256];
	char *id = strcasestr(answer, "\r\nLambda-Runtime-Aws-Request-Id:");
	if (answer_status != 200 || !id || sscanf(id + 32, " %63[0-9a-f-]", request_id) != 1)
		exit(93);
	snprintf(next_headers, sizeof(next_headers), "%.*s", (int)(answer_body - answer), answer);
	snprintf(event, sizeof(event), "%s", answer_body);
	size_t len = strlen(event);
	if (len < 2)
		exit(94);
	event[len - 1] = '\0';
	char *steps = event + 1;
	if (strcmp(steps, "report") == 0) {
		static char all[sizeof(results) + 8];
		int n = snprintf(all, sizeof(all), "[%s]", results);
		results[0] = '\0';
		snprintf(path, sizeof(path), API "/invocation/%s/response", request_id);
		request("POST", path, "", all, (size_t)n);
		return;
	}
	while (steps)
		run_step(next_part(&steps, '~'));
}

int main(void)
{
	const char *mode = getenv("MODE") ? getenv("MODE") : "";
	const char *error =
		"{\"errorMessage\":\"told at init\",\"errorType\":\"Runtime.Own\",\"more\":[1]}";

	dprintf(1, "bootstrap begins\n");
	if (strcmp(mode, "exit") == 0)
		exit(3);
	if (strcmp(mode, "init-error") == 0) {
		request("POST", API "/init/error",
			"Lambda-Runtime-Function-Error-Type: Runtime.Own\r\n", error,
			strlen(error));
		dprintf(1, "init error answered %d %s\n", answer_status, answer_body);
		exit(1);
	}
	if (strcmp(mode, "hang") == 0)
		for (;;)
			pause();
	for (;;) {
		request("GET", API "/invocation/next", "", "", 0);
		serve_event();
	}
}
