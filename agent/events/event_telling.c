/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/events/event_telling.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/events/event_outcome.h"
#include "agent/events/event_settings.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

#define AGAIN_US USEC_PER_SEC

struct event_telling {
	struct lane_job job; /* first */
	struct event_queue *queue;
	struct event_record record; /* of the event, as what follows */
	struct event_body body;     /* borrowed */
	char target[EVENT_TARGET_BYTES];
	char dead_letters[EVENT_TARGET_BYTES];
	uint64_t expected; /* bytes of room */
	struct event_outcome_facts facts;
	char executed_version[EVENT_QUALIFIER_BYTES];
	char function_error[16];
	struct buf response;
	struct event_op *made; /* linked; owned until the answer */
	int result;
	struct timer again;
	event_told_fn *answer;
	void *arg;
};

int event_telling_new(struct event_queue *queue, const struct event_record *record,
		      struct event_telling **ret)
{
	struct event_telling *telling = calloc(1, sizeof(*telling));

	if (!telling)
		return -ENOMEM;
	telling->queue = queue;
	telling->record = *record;
	*ret = telling;
	return 0;
}

static void forget_made(struct event_telling *telling)
{
	struct event_op *next;

	for (struct event_op *op = telling->made; op; op = next) {
		next = op->next;
		event_delivery_free(container_of(op, struct delivery, op));
	}
	telling->made = NULL;
}

struct event_telling *event_telling_free(struct event_telling *telling)
{
	if (!telling)
		return NULL;
	timer_disarm(&telling->again);
	forget_made(telling);
	if (telling->expected > 0)
		event_room_give_back_outcome(telling->queue, telling->record.tenant,
					     telling->expected);
	buf_free(&telling->response);
	free(telling);
	return NULL;
}

/* -- who is told -- */

static const char *dead_letter_target(const struct event_telling *telling)
{
	const struct event_record *record = &telling->record;
	const struct function *function =
		directory_find_qualified(telling->queue->config.directory, record->tenant,
					 record->function, record->qualifier);
	const char *target = function ? function->config.dead_letter_target : NULL;

	return target ? target : "";
}

static const struct event_settings *settings_of(const struct event_telling *telling)
{
	const struct event_record *record = &telling->record;

	return event_settings_find(telling->queue, record->tenant, record->function,
				   record->qualifier);
}

/* Whether anybody is. */
static bool address(struct event_telling *telling, enum event_end end)
{
	const struct event_settings *settings = settings_of(telling);
	bool succeeded = end == EVENT_SUCCESS;

	if (end == EVENT_FUNCTION_GONE)
		return false;
	if (settings)
		(void)snprintf(telling->target, sizeof(telling->target), "%s",
			       succeeded ? settings->on_success : settings->on_failure);
	if (!succeeded)
		(void)snprintf(telling->dead_letters, sizeof(telling->dead_letters), "%s",
			       dead_letter_target(telling));
	return telling->target[0] || telling->dead_letters[0];
}

bool event_telling_expect(struct event_telling *telling)
{
	const struct event_settings *settings = settings_of(telling);
	const struct event_record *record = &telling->record;
	uint64_t bytes = 0;

	if (settings && (settings->on_success[0] || settings->on_failure[0]))
		bytes += event_outcome_max_bytes(record->bytes);
	if (dead_letter_target(telling)[0])
		bytes += record->bytes;
	if (bytes > 0 && !event_room_has_outcome(telling->queue, record->tenant, bytes))
		return false;
	telling->expected = bytes;
	event_room_take_outcome(telling->queue, record->tenant, bytes);
	return true;
}

/* -- in the job -- */

/* All that it carries, in memory of the op's own. */
static int take_body(struct delivery *delivery, struct slice payload, const struct event_body *from)
{
	struct event_body *body = &delivery->op.body;
	struct slice context = from->client_context;
	size_t trace_len = from->trace_id ? strlen(from->trace_id) : 0;
	size_t end_tenant_len = from->end_tenant ? strlen(from->end_tenant) : 0;
	uint8_t *at = calloc(1, payload.len + context.len + trace_len + end_tenant_len + 4);

	if (!at)
		return -ENOMEM;
	delivery->op.memory = at;
	body->payload = slice_place(&at, payload);
	body->client_context = slice_place(&at, context);
	body->trace_id = slice_place_string(&at, from->trace_id);
	body->end_tenant = slice_place_string(&at, from->end_tenant);
	return 0;
}

static int add(struct event_telling *telling, const char *target, struct slice payload,
	       struct event_delivery *what)
{
	struct event_record record = telling->record;
	struct delivery *delivery;

	record.sequence = 0;
	record.received_us = record.due_us = telling->facts.now_us;
	record.errors = record.delays = 0;
	record.bytes = payload.len + telling->body.client_context.len;
	uuid_generate(what->id);
	what->target = (char *)(uintptr_t)target;
	(void)snprintf(what->condition, sizeof(what->condition), "%s", telling->facts.condition);
	delivery = event_delivery_new(&record, what);
	if (!delivery)
		return -ENOMEM;
	delivery->op.change = EVENT_ADD_DELIVERY;
	delivery->op.next = telling->made;
	telling->made = &delivery->op;
	return take_body(delivery, payload, &telling->body);
}

static int add_record(struct event_telling *telling)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct event_delivery what = { 0 };
	int r = event_outcome_write(&telling->facts, &text, &what.event_at, &what.event_bytes);

	return r < 0 ? r : add(telling, telling->target, buf_slice(&text), &what);
}

/* The event as it was; why it failed is kept with it until it is durable: in the place behind the
 * body, where a read puts it, too. */
static int add_dead_letter(struct event_telling *telling)
{
	_cleanup_buf_ struct buf why = BUF_INIT;
	struct event_delivery what = { .is_dead_letter = true,
				       .event_bytes = telling->body.payload.len };
	_cleanup_free_ char *message = NULL;
	int r = event_outcome_write_error(&telling->facts, &why);

	if (r < 0)
		return r;
	message = strdup(buf_string(&why));
	if (!message)
		return -ENOMEM;
	r = add(telling, telling->dead_letters, telling->body.payload, &what);
	if (r == 0)
		container_of(telling->made, struct delivery, op)->what.error_message =
			TAKE_PTR(message);
	return r;
}

static int make(struct event_telling *telling)
{
	const struct event_record *record = &telling->record;
	_cleanup_free_ char *arn =
		function_arn(telling->queue->config.region, record->tenant, record->function,
			     record->qualifier[0] ? record->qualifier : FUNCTION_LATEST);
	int r = arn ? 0 : -ENOMEM;

	telling->facts.function_arn = arn;
	telling->facts.response = buf_slice(&telling->response);
	if (r == 0 && telling->target[0])
		r = add_record(telling);
	if (r == 0 && telling->dead_letters[0])
		r = add_dead_letter(telling);
	telling->facts.function_arn = NULL;
	return r;
}

static void work(struct job *job)
{
	struct event_telling *telling =
		container_of(container_of(job, struct lane_job, job), struct event_telling, job);

	telling->result = make(telling);
	if (telling->result == 0)
		buf_free(&telling->response);
	else
		forget_made(telling);
}

/* -- in the loop -- */

static int link_made(struct event_telling *telling)
{
	int r = 0;

	for (struct event_op *op = telling->made; op && r == 0; op = op->next)
		r = event_delivery_link(telling->queue, container_of(op, struct delivery, op));
	return r;
}

static void submit(void *arg)
{
	struct event_telling *telling = arg;

	telling->job.key = telling->record.tenant;
	lane_submit(&telling->queue->tellings, &telling->job);
}

/* The event ended, and stays as it is until what is told of it is there. */
static void try_again(struct event_telling *telling)
{
	const struct event_record *record = &telling->record;

	log_write(LOG_WARNING,
		  &(struct log_fields){ .tenant = record->tenant,
					.function = record->function,
					.request_id = record->request_id },
		  "What is told of an event is made again later: Memory is short.");
	if (timer_arm(&telling->again, telling->queue->config.loop, clock_monotonic_us() + AGAIN_US,
		      submit, telling) < 0)
		submit(telling);
}

static void done(struct lane_job *job)
{
	struct event_telling *telling = container_of(job, struct event_telling, job);
	int r = telling->result;

	if (r == 0)
		r = link_made(telling);
	if (r < 0) {
		forget_made(telling);
		try_again(telling);
		return;
	}
	telling->answer(TAKE_PTR(telling->made), telling->arg);
}

void event_telling_take_answer(struct event_telling *telling, struct invocation *invocation,
			       const struct invocation_result *result)
{
	struct event_outcome_facts *facts = &telling->facts;

	facts->has_response = true;
	facts->status_code = result->status_code;
	(void)snprintf(telling->executed_version, sizeof(telling->executed_version), "%s",
		       result->executed_version ? result->executed_version : "");
	(void)snprintf(telling->function_error, sizeof(telling->function_error), "%s",
		       result->function_error);
	telling->response = invocation_take_payload(invocation);
}

bool event_telling_start(struct event_telling *telling, const struct event_op *event,
			 enum event_end end, event_told_fn *answer, void *arg)
{
	struct event_outcome_facts *facts = &telling->facts;

	telling->record = event->record;
	telling->body = event->body;
	if (!address(telling, end))
		return false;
	facts->record = &telling->record;
	facts->event = telling->body.payload;
	facts->condition = event_end_name(end);
	facts->invoke_count = event->record.errors + (end == EVENT_SUCCESS);
	facts->now_us = clock_realtime_us();
	facts->executed_version = telling->executed_version;
	facts->function_error = telling->function_error;
	telling->answer = answer;
	telling->arg = arg;
	telling->job.job.work = work;
	telling->job.done = done;
	submit(telling);
	return true;
}
