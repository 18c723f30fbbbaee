/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_vm mayfly_image mayfly_core mayfly_proto_guest mayfly_base

/* Who hears what of a function's INIT while its template is built. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/vm/template_internal.h"
#include "mayfly/clock.h"

struct hearer {
	char text[128]; /* what came, one word each */
	int64_t duration_us;
};

static void hear(struct hearer *hearer, const char *word)
{
	size_t used = strlen(hearer->text);

	(void)snprintf(hearer->text + used, sizeof(hearer->text) - used, "%s ", word);
}

static void on_begin(const char *sandbox_id, void *arg)
{
	hear(arg, sandbox_id);
}

static void on_logs(const Mayfly__Guest__V1__LogRecords *logs, void *arg)
{
	assert_int_equal(logs->dropped_records, 1);
	hear(arg, "logs");
}

static void on_end(const Mayfly__Guest__V1__Outcome *outcome, int64_t duration_us, void *arg)
{
	struct hearer *hearer = arg;

	hear(hearer, !outcome                                                  ? "lost"
		     : outcome->status == MAYFLY__GUEST__V1__STATUS__STATUS_OK ? "ok"
									       : "failed");
	hearer->duration_us = duration_us;
}

static const struct template_init_events events = { on_begin, on_logs, on_end };

/* Three wait: one who only wants the template, then two who listen. */
struct fixture {
	struct template template;
	struct template_waiter waiters[3];
	struct hearer first, second;
	Mayfly__Guest__V1__LogRecords logs;
	Mayfly__Guest__V1__Outcome outcome;
};

static void set_up(struct fixture *f)
{
	*f = (struct fixture){ 0 };
	STAILQ_INIT(&f->template.waiters);
	f->waiters[1].init_events = f->waiters[2].init_events = &events;
	f->waiters[1].init_arg = &f->first;
	f->waiters[2].init_arg = &f->second;
	for (size_t i = 0; i < 3; i++)
		STAILQ_INSERT_TAIL(&f->template.waiters, &f->waiters[i], entry);
	mayfly__guest__v1__log_records__init(&f->logs);
	f->logs.dropped_records = 1;
	mayfly__guest__v1__outcome__init(&f->outcome);
	f->outcome.status = MAYFLY__GUEST__V1__STATUS__STATUS_OK;
}

static void the_first_hears_all(void **state)
{
	struct template_init init = { 0 };
	struct fixture f;

	(void)state;
	set_up(&f);
	/* Nothing before it begins. */
	template_init_logs(&init, &f.logs);
	template_init_rest(&init);
	template_init_end(&init, &f.outcome);
	assert_string_equal(f.first.text, "");

	template_init_begin(&init, &f.template, "one");
	template_init_logs(&init, &f.logs);
	template_init_end(&init, &f.outcome);
	/* Said once; what is printed late is not lost. */
	template_init_end(&init, NULL);
	template_init_logs(&init, &f.logs);
	assert_string_equal(f.first.text, "one logs ok logs ");
	assert_string_equal(f.second.text, "");
}

static void every_try_has_its_end(void **state)
{
	struct template_init init = { 0 };
	struct fixture f;

	(void)state;
	set_up(&f);
	template_init_begin(&init, &f.template, "one");
	template_init_end(&init, NULL);
	f.outcome.status = MAYFLY__GUEST__V1__STATUS__STATUS_FUNCTION_ERROR;
	template_init_begin(&init, &f.template, "two");
	template_init_end(&init, &f.outcome);
	assert_string_equal(f.first.text, "one lost two failed ");
}

static void only_the_functions_own_time_counts(void **state)
{
	struct template_init init = { 0 };
	struct fixture f;

	(void)state;
	set_up(&f);
	template_init_begin(&init, &f.template, "one");
	init.since_us -= 500 * USEC_PER_SEC;
	template_init_rest(&init);
	assert_int_equal(init.since_us, 0);
	template_init_rest(&init);
	template_init_run(&init);
	init.since_us -= 200 * USEC_PER_SEC;
	template_init_end(&init, &f.outcome);
	assert_in_range(f.first.duration_us, 700 * USEC_PER_SEC, 760 * USEC_PER_SEC);
}

static void nobody_need_listen(void **state)
{
	struct template_init init = { 0 };
	struct fixture f;

	(void)state;
	set_up(&f);
	STAILQ_INIT(&f.template.waiters);
	STAILQ_INSERT_TAIL(&f.template.waiters, &f.waiters[0], entry);
	template_init_begin(&init, &f.template, "one");
	/* Who comes amidst it does not hear the rest of it. */
	STAILQ_INSERT_TAIL(&f.template.waiters, &f.waiters[1], entry);
	template_init_logs(&init, &f.logs);
	template_init_end(&init, &f.outcome);
	assert_string_equal(f.first.text, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_hears_all),
		cmocka_unit_test(every_try_has_its_end),
		cmocka_unit_test(only_the_functions_own_time_counts),
		cmocka_unit_test(nobody_need_listen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
