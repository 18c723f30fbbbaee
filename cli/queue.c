/* SPDX-License-Identifier: Apache-2.0 */

/* Queues: where destinations and dead letter configurations put what became of events. */

#include <inttypes.h>

#include "cli/json_fields.h"
#include "cli/messages.h"
#include "cli/output.h"
#include "cli/verbs.h"

#define MARKER_BYTES 64

/* -- list -- */

static json_t *json_from_queue(const Mayfly__V1__Queue *queue)
{
	json_t *object = json_pack("{s:s,s:s}", "QueueName", queue->name, "QueueArn", queue->arn);

	json_put_number(object, "Messages", queue->messages);
	json_put_number(object, "Bytes", queue->bytes);
	json_put_time(object, "OldestMessage", queue->oldest_us);
	return object;
}

static int print_queues(const Mayfly__V1__ListQueuesResponse *response)
{
	static const char *const headers[] = { "QUEUE", "MESSAGES", "SIZE", "OLDEST", NULL };
	_cleanup_table_ struct table table = { .headers = headers };
	char size[TEXT_BYTES], age[TEXT_BYTES];

	for (size_t i = 0; i < response->n_queues; i++) {
		const Mayfly__V1__Queue *queue = response->queues[i];

		table_cell(&table, "%s", queue->name);
		table_cell(&table, "%" PRIu64, queue->messages);
		table_cell(&table, "%s", text_bytes(queue->bytes, size));
		table_cell(&table, "%s", text_age(queue->oldest_us, age));
	}
	table_print(&table);
	return 0;
}

static int run_list(struct context *context, const struct arguments *arguments _unused_)
{
	_cleanup_message_ Mayfly__V1__ListQueuesResponse *response = NULL;
	Mayfly__V1__ListQueuesRequest request = MAYFLY__V1__LIST_QUEUES_REQUEST__INIT;
	_cleanup_json_ json_t *queues = json_array();
	int r = client_queue_list(context->client, &request, &response, &context->error);

	if (r < 0 || !context->json)
		return r < 0 ? r : print_queues(response);
	for (size_t i = 0; i < response->n_queues; i++)
		(void)json_array_append_new(queues, json_from_queue(response->queues[i]));
	return output_json(json_pack("{s:O}", "Queues", queues));
}

const struct verb verb_queue_list = {
	.name = "queue list",
	.operands = "",
	.summary = "List the queues that have messages",
	.help = "Example:\n"
		"  mayfly queue list\n",
	.run = run_list,
};

/* -- messages -- */

static json_t *json_from_message(const Mayfly__V1__Message *message)
{
	json_t *object = json_pack("{s:s,s:s,s:s,s:s}", "MessageId", message->message_id,
				   "FunctionArn", message->function_arn, "RequestId",
				   message->request_id, "Condition", message->condition);

	json_put_time(object, "SentTime", message->sent_us);
	(void)json_object_set_new(object, "Body", json_from_bytes(&message->body));
	if (!message->is_dead_letter)
		return object;
	(void)json_object_set_new(object, "MessageAttributes",
				  json_pack("{s:s,s:s,s:s}", "RequestID", message->request_id,
					    "ErrorCode", message->error_code, "ErrorMessage",
					    message->error_message));
	return object;
}

static void add_message(struct table *table, json_t *list, const Mayfly__V1__Message *message)
{
	char size[TEXT_BYTES], age[TEXT_BYTES];

	(void)json_array_append_new(list, json_from_message(message));
	table_cell(table, "%s", message->message_id);
	table_cell(table, "%s", text_age(message->sent_us, age));
	table_cell(table, "%s", message->condition);
	table_cell(table, "%s", text_bytes(message->body.len, size));
	table_cell(table, "%s", message->function_arn);
}

static int read_messages(struct context *context, const char *queue, struct table *table,
			 json_t *list)
{
	char marker[MARKER_BYTES] = "";
	int r;

	do {
		Mayfly__V1__ListMessagesRequest request = MAYFLY__V1__LIST_MESSAGES_REQUEST__INIT;
		_cleanup_message_ Mayfly__V1__ListMessagesResponse *page = NULL;

		request.queue = (char *)queue;
		request.marker = marker;
		r = client_queue_messages(context->client, &request, &page, &context->error);
		for (size_t i = 0; r == 0 && i < page->n_messages; i++)
			add_message(table, list, page->messages[i]);
		if (r == 0)
			(void)snprintf(marker, sizeof(marker), "%s", page->next_marker);
	} while (r == 0 && marker[0]);
	return r;
}

static int run_messages(struct context *context, const struct arguments *arguments)
{
	static const char *const headers[] = { "MESSAGE ID", "SENT",     "CONDITION",
					       "SIZE",       "FUNCTION", NULL };
	_cleanup_table_ struct table table = { .headers = headers };
	_cleanup_json_ json_t *list = json_array();
	int r = read_messages(context, operand(arguments, 0), &table, list);

	if (r < 0)
		return r;
	if (context->json)
		return output_json(json_pack("{s:O}", "Messages", list));
	table_print(&table);
	return 0;
}

const struct verb verb_queue_messages = {
	.name = "queue messages",
	.operands = "QUEUE",
	.min = 1,
	.max = 1,
	.summary = "List the messages of a queue, the oldest first",
	.help = "They stay in the queue. With --output json their bodies are shown, too.\n\n"
		"Example:\n"
		"  mayfly queue messages failed --output json\n",
	.run = run_messages,
};

/* -- redrive -- */

/* How many there are now: what comes while it works is for another time. */
static int count_messages(struct context *context, const char *name, uint64_t *ret)
{
	_cleanup_message_ Mayfly__V1__ListQueuesResponse *response = NULL;
	Mayfly__V1__ListQueuesRequest request = MAYFLY__V1__LIST_QUEUES_REQUEST__INIT;
	int r = client_queue_list(context->client, &request, &response, &context->error);

	*ret = 0;
	for (size_t i = 0; r == 0 && i < response->n_queues; i++)
		if (strcmp(response->queues[i]->name, name) == 0 ||
		    strcmp(response->queues[i]->arn, name) == 0)
			*ret = response->queues[i]->messages;
	return r;
}

struct redriven {
	uint64_t redriven, failed;
	char message[256];
	char marker[MARKER_BYTES];
};

static int redrive_some(struct context *context, const struct arguments *arguments, uint64_t max,
			struct redriven *sum)
{
	Mayfly__V1__RedriveRequest request = MAYFLY__V1__REDRIVE_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__RedriveResponse *response = NULL;
	const char *id = argument(arguments, "message-id");
	int r;

	request.queue = (char *)operand(arguments, 0);
	if (id)
		request.message_id = (char *)id;
	request.max_items = max < 100 ? (uint32_t)max : 100;
	request.marker = sum->marker;
	r = client_queue_redrive(context->client, &request, &response, &context->error);
	if (r < 0)
		return r;
	sum->redriven += response->redriven;
	sum->failed += response->failed;
	if (*response->message)
		(void)snprintf(sum->message, sizeof(sum->message), "%s", response->message);
	(void)snprintf(sum->marker, sizeof(sum->marker), "%s", response->next_marker);
	return 0;
}

static int run_redrive(struct context *context, const struct arguments *arguments)
{
	struct redriven sum = { 0 };
	uint64_t max = 1;
	int r = 0;

	if (!argument(arguments, "message-id"))
		r = count_messages(context, operand(arguments, 0), &max);
	while (r == 0 && sum.redriven + sum.failed < max) {
		r = redrive_some(context, arguments, max - sum.redriven - sum.failed, &sum);
		if (!sum.marker[0])
			break;
	}
	if (r < 0)
		return r;
	if (context->json)
		return output_json(json_pack("{s:I,s:I,s:s}", "Redriven", (json_int_t)sum.redriven,
					     "Failed", (json_int_t)sum.failed, "Message",
					     sum.message));
	output_field("Sent again", "%" PRIu64, sum.redriven);
	if (sum.failed)
		output_field("Refused", "%" PRIu64 ", which stay: %s", sum.failed, sum.message);
	return 0;
}

static const struct verb_option redrive_options[] = {
	{ "message-id", 0, OPTION_TEXT, "ID", "only this one; all by default" },
	{ 0 },
};

const struct verb verb_queue_redrive = {
	.name = "queue redrive",
	.operands = "QUEUE",
	.min = 1,
	.max = 1,
	.summary = "Send the events of a queue's messages again",
	.help = "Each becomes a new event for the function it was for; then its message goes.\n"
		"Messages that come meanwhile stay.\n\n"
		"Examples:\n"
		"  mayfly queue redrive failed\n"
		"  mayfly queue redrive failed --message-id "
		"1b4e28ba-2fa1-41d2-883f-0016d3cca427\n",
	.options = redrive_options,
	.run = run_redrive,
};

/* -- delete-message and purge -- */

static int run_delete(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__DeleteMessageResponse *response = NULL;
	Mayfly__V1__DeleteMessageRequest request = MAYFLY__V1__DELETE_MESSAGE_REQUEST__INIT;

	request.queue = (char *)operand(arguments, 0);
	request.message_id = (char *)operand(arguments, 1);
	return client_queue_delete_message(context->client, &request, &response, &context->error);
}

const struct verb verb_queue_delete_message = {
	.name = "queue delete-message",
	.operands = "QUEUE MESSAGE-ID",
	.min = 2,
	.max = 2,
	.summary = "Delete a message",
	.help = "Prints nothing when it worked.\n\n"
		"Example:\n"
		"  mayfly queue delete-message failed 1b4e28ba-2fa1-41d2-883f-0016d3cca427\n",
	.run = run_delete,
};

static int run_purge(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__PurgeQueueResponse *response = NULL;
	Mayfly__V1__PurgeQueueRequest request = MAYFLY__V1__PURGE_QUEUE_REQUEST__INIT;
	int r;

	request.queue = (char *)operand(arguments, 0);
	r = client_queue_purge(context->client, &request, &response, &context->error);
	if (r < 0)
		return r;
	if (context->json)
		return output_json(json_pack("{s:I}", "Deleted", (json_int_t)response->deleted));
	output_field("Deleted", "%" PRIu64, response->deleted);
	return 0;
}

const struct verb verb_queue_purge = {
	.name = "queue purge",
	.operands = "QUEUE",
	.min = 1,
	.max = 1,
	.summary = "Delete every message of a queue",
	.help = "Example:\n"
		"  mayfly queue purge failed\n",
	.run = run_purge,
};
