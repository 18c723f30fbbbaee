/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/vm/qmp.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "mayfly/fs.h"

/* A command: on `unsent` until it is written whole, then on `unanswered`. */
struct qmp_command {
	STAILQ_ENTRY(qmp_command) entry;
	uint64_t id;
	char *line; /* owned, with its newline */
	size_t len;
	size_t written;
	int fd; /* owned; goes with the first byte */
	qmp_reply_fn *reply;
	void *arg;
};
STAILQ_HEAD(command_list, qmp_command);

struct qmp {
	struct loop *loop;
	int fd;
	sd_event_source *source;
	struct buf in;
	uint64_t next_id;
	struct command_list unsent;
	struct command_list unanswered;
	const struct qmp_events *events;
	void *user;
	bool greeted;
	bool closed;
	bool dispatching; /* a callback may ask for our end meanwhile */
	bool free_wanted;
};

static struct qmp_command *command_free(struct qmp_command *command)
{
	if (command->fd >= 0)
		(void)close(command->fd);
	free(command->line);
	free(command);
	return NULL;
}

static void commands_drop(struct command_list *list)
{
	struct qmp_command *command;

	while ((command = STAILQ_FIRST(list))) {
		STAILQ_REMOVE_HEAD(list, entry);
		(void)command_free(command);
	}
}

static void qmp_destroy(struct qmp *qmp)
{
	(void)sd_event_source_disable_unref(qmp->source);
	if (qmp->fd >= 0)
		(void)close(qmp->fd);
	commands_drop(&qmp->unsent);
	commands_drop(&qmp->unanswered);
	buf_free(&qmp->in);
	free(qmp);
}

struct qmp *qmp_free(struct qmp *qmp)
{
	if (!qmp)
		return NULL;
	qmp->free_wanted = true;
	if (!qmp->dispatching)
		qmp_destroy(qmp);
	return NULL;
}

static void fail_commands(struct qmp *qmp, struct command_list *list, const char *reason)
{
	struct qmp_command *command;

	while (!qmp->free_wanted && (command = STAILQ_FIRST(list))) {
		STAILQ_REMOVE_HEAD(list, entry);
		if (command->reply)
			command->reply(NULL, reason, command->arg);
		(void)command_free(command);
	}
}

/* Only from the I/O handler, so that nobody is called inside his own call. */
static void qmp_close(struct qmp *qmp, const char *reason)
{
	if (qmp->closed)
		return;
	qmp->closed = true;
	(void)sd_event_source_set_enabled(qmp->source, SD_EVENT_OFF);
	fail_commands(qmp, &qmp->unanswered, reason);
	fail_commands(qmp, &qmp->unsent, reason);
	if (!qmp->free_wanted)
		qmp->events->on_closed(reason, qmp->user);
}

static ssize_t send_with_fd(struct qmp *qmp, const struct qmp_command *command)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = command->line + command->written,
			     .iov_len = command->len - command->written };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *header;

	if (command->fd >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &command->fd, sizeof(int));
	}
	return sendmsg(qmp->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Writes what the socket takes; a broken one is noticed by the reading side. */
static void qmp_flush(struct qmp *qmp)
{
	struct qmp_command *command;
	ssize_t n;

	while (qmp->greeted && (command = STAILQ_FIRST(&qmp->unsent))) {
		n = send_with_fd(qmp, command);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		if (command->fd >= 0) {
			(void)close(command->fd);
			command->fd = -1;
		}
		command->written += (size_t)n;
		if (command->written < command->len)
			continue;
		STAILQ_REMOVE_HEAD(&qmp->unsent, entry);
		STAILQ_INSERT_TAIL(&qmp->unanswered, command, entry);
	}
	(void)sd_event_source_set_io_events(
		qmp->source,
		EPOLLIN | (qmp->greeted && !STAILQ_EMPTY(&qmp->unsent) ? EPOLLOUT : 0U));
}

static void answer(struct qmp *qmp, const struct qmp_line *line)
{
	struct qmp_command *command;

	STAILQ_FOREACH (command, &qmp->unanswered, entry) {
		if (command->id != line->id)
			continue;
		STAILQ_REMOVE(&qmp->unanswered, command, qmp_command, entry);
		if (command->reply)
			command->reply(line->kind == QMP_REPLY ? line->data : NULL,
				       line->kind == QMP_ERROR ? line->text : NULL, command->arg);
		(void)command_free(command);
		return;
	}
}

static void handle_line(struct qmp *qmp, struct slice text)
{
	struct qmp_line line;

	if (text.len && text.data[text.len - 1] == '\r')
		text.len--;
	if (!text.len)
		return;
	if (qmp_line_parse(text, &line) < 0) {
		qmp_close(qmp, "QEMU's monitor sent a malformed line");
		return;
	}
	switch (line.kind) {
	case QMP_GREETING:
		qmp->greeted = true;
		qmp_flush(qmp);
		break;
	case QMP_EVENT:
		qmp->events->on_event(line.text, line.data, qmp->user);
		break;
	case QMP_REPLY:
	case QMP_ERROR:
		answer(qmp, &line);
		break;
	case QMP_OTHER:
		break;
	}
	qmp_line_clear(&line);
}

static void handle_input(struct qmp *qmp)
{
	const uint8_t *newline;
	size_t done = 0;

	while (!qmp->closed && !qmp->free_wanted && done < qmp->in.len) {
		newline = memchr(qmp->in.data + done, '\n', qmp->in.len - done);
		if (!newline)
			break;
		handle_line(qmp, slice_new(qmp->in.data + done,
					   (size_t)(newline - qmp->in.data) - done));
		done = (size_t)(newline - qmp->in.data) + 1;
	}
	buf_consume(&qmp->in, done);
	if (qmp->in.len > QMP_LINE_BYTES)
		qmp_close(qmp, "QEMU's monitor sent a line that is too long");
}

static int on_io(sd_event_source *source _unused_, int fd _unused_, uint32_t revents,
		 void *userdata)
{
	struct qmp *qmp = userdata;
	uint8_t chunk[16384];
	ssize_t n;

	qmp->dispatching = true;
	if (revents & EPOLLOUT)
		qmp_flush(qmp);
	n = recv(qmp->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
	if (n > 0 && buf_append(&qmp->in, chunk, (size_t)n) < 0)
		qmp_close(qmp, "no memory for QEMU's monitor");
	else if (n > 0)
		handle_input(qmp);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		qmp_close(qmp, "QEMU's monitor closed");
	qmp->dispatching = false;
	if (qmp->free_wanted)
		qmp_destroy(qmp);
	return 0;
}

int qmp_new(struct loop *loop, int fd, const struct qmp_events *events, void *user,
	    struct qmp **ret)
{
	struct qmp *qmp;
	int r;

	qmp = calloc(1, sizeof(*qmp));
	if (!qmp) {
		(void)close(fd);
		return -ENOMEM;
	}
	*qmp = (struct qmp){ .loop = loop, .fd = fd, .events = events, .user = user };
	STAILQ_INIT(&qmp->unsent);
	STAILQ_INIT(&qmp->unanswered);
	r = sd_event_add_io(loop_event(loop), &qmp->source, fd, EPOLLIN, on_io, qmp);
	if (r >= 0)
		r = qmp_execute(qmp, "qmp_capabilities", NULL, -1, NULL, NULL);
	if (r < 0) {
		qmp_destroy(qmp);
		return r;
	}
	*ret = qmp;
	return 0;
}

int qmp_execute(struct qmp *qmp, const char *command, json_t *arguments, int send_fd,
		qmp_reply_fn *reply, void *arg)
{
	struct qmp_command *entry;
	json_t *root;
	char *text;

	if (qmp->closed) {
		json_decref(arguments);
		return -ENOTCONN;
	}
	root = json_pack("{s:s, s:I, s:o*}", "execute", command, "id", (json_int_t)++qmp->next_id,
			 "arguments", arguments);
	if (!root)
		return -ENOMEM;
	text = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	entry = calloc(1, sizeof(*entry));
	if (!text || !entry) {
		free(text);
		free(entry);
		return -ENOMEM;
	}
	/* The terminating NUL's place takes the newline that ends a command. */
	entry->line = text;
	entry->len = strlen(text) + 1;
	entry->line[entry->len - 1] = '\n';
	entry->id = qmp->next_id;
	entry->reply = reply;
	entry->arg = arg;
	entry->fd = send_fd >= 0 ? fcntl(send_fd, F_DUPFD_CLOEXEC, 3) : -1;
	if (send_fd >= 0 && entry->fd < 0) {
		(void)command_free(entry);
		return -EMFILE;
	}
	STAILQ_INSERT_TAIL(&qmp->unsent, entry, entry);
	qmp_flush(qmp);
	return 0;
}
