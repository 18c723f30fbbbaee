/* SPDX-License-Identifier: Apache-2.0 */

/* The short way of a record: it is in the journal, so its answer may go, and its commit may take
 * its time. */

#include <errno.h>

#include "agent/account/account_internal.h"
#include "mayfly/log.h"

static void on_releases(void *arg)
{
	account_release_journaled(arg);
}

static int load(const struct ledger_record *record, void *arg)
{
	struct account_entry *entry = calloc(1, sizeof(*entry));

	if (!entry)
		return -ENOMEM;
	entry->record = *record;
	entry->journaled = true;
	entry->former = true;
	account_gather(arg, entry);
	return 0;
}

/* Whoever does not use a journal still takes what a former life left there. */
int account_start_journal(struct account *account, struct error *error)
{
	int r;

	account->journaled_end = &account->journaled;
	if (!account->config.journal_path)
		return 0;
	r = dirty_init(&account->releases, account->loop, on_releases, account);
	if (r < 0)
		return error_set_errno(error, r, "Cannot make the account");
	r = ledger_journal_open(account->config.journal_path, load, account, &account->journal,
				error);
	account->config.journal_path = NULL;
	if (r == 0 && account->first)
		log_notice("%llu usage records were in the journal of a former life.",
			   (unsigned long long)account->gathered);
	return r;
}

void account_stop_journal(struct account *account)
{
	dirty_free(&account->releases);
	account->journal = ledger_journal_close(account->journal);
}

bool account_put_in_journal(struct account *account, struct account_entry *entry)
{
	if (!account->journal || !account->config.journal_answers ||
	    ledger_journal_put(account->journal, &entry->record) < 0)
		return false;
	*account->journaled_end = entry;
	account->journaled_end = &entry->next_journaled;
	dirty_mark(&account->releases);
	return true;
}

void account_release_journaled(struct account *account)
{
	struct account_entry *entry = TAKE_PTR(account->journaled);

	account->journaled_end = &account->journaled;
	for (; entry; entry = TAKE_PTR(entry->next_journaled)) {
		account_recorded_fn *done = TAKE_PTR(entry->done);

		done(NULL, entry->arg);
	}
}

void account_turn_journal(struct account *account)
{
	if (account->journal)
		ledger_journal_turn(account->journal);
}

/* What stays in it is known as committed when it is found there. But a file that cannot be written
 * is no place for further records. */
void account_clear_journal(struct account *account)
{
	if (!account->journal || ledger_journal_clear(account->journal, !account->first) >= 0 ||
	    !account->config.journal_answers)
		return;
	account->config.journal_answers = false;
	log_error("The journal of usage cannot be written: from now on answers wait for the "
		  "ledger.");
}
