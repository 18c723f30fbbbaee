/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_rpc

/* What a client's certificate is worth: of which authority it is, whether it was taken back, until
 * when it holds; and which files are refused. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "mayfly/clock.h"
#include "mayfly/fs.h"
#include "rpc/certificate.h"

#define DAY_S  86400L
#define ALICE  "spiffe://mayfly.example/tenant/111111111111/role/admin/user/alice"
#define NOW_US clock_realtime_us()

/* A certificate with its key; owned. */
struct pair {
	X509 *certificate;
	EVP_PKEY *key;
};

struct node {
	char folder[64], crl[96], lists[96];
	char operators[96], tenants[96];
	struct pair operator_ca, tenant_ca;
};

/* -- making -- */

static void add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;

	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	assert_non_null(extension);
	assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

/* Of `issuer`, or of itself when that is NULL; `names` is its subjectAltName, NULL: a CA. */
static struct pair make(const char *name, const struct pair *issuer, long serial, long days,
			const char *names)
{
	struct pair pair = { X509_new(), EVP_EC_gen("P-256") };
	const struct pair *by = issuer ? issuer : &pair;
	X509_NAME *subject = X509_get_subject_name(pair.certificate);

	assert_non_null(pair.key);
	assert_int_equal(X509_set_version(pair.certificate, 2), 1);
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(pair.certificate), serial), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(pair.certificate), -10 * DAY_S));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(pair.certificate), days * DAY_S));
	assert_int_equal(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
						    (const unsigned char *)name, -1, -1, 0),
			 1);
	assert_int_equal(X509_set_pubkey(pair.certificate, pair.key), 1);
	assert_int_equal(
		X509_set_issuer_name(pair.certificate, X509_get_subject_name(by->certificate)), 1);
	if (names && names[0])
		add_extension(pair.certificate, by->certificate, NID_subject_alt_name, names);
	if (!names)
		add_extension(pair.certificate, by->certificate, NID_basic_constraints,
			      "critical,CA:TRUE");
	assert_true(X509_sign(pair.certificate, by->key, EVP_sha256()) > 0);
	return pair;
}

static void drop(struct pair *pair)
{
	X509_free(pair->certificate);
	EVP_PKEY_free(pair->key);
}
#define _cleanup_pair_ _cleanup_(drop)

/* As PEM; the caller's. */
static struct buf pem_of(X509 *certificate)
{
	BIO *bio = BIO_new(BIO_s_mem());
	struct buf pem = BUF_INIT;
	char *data;

	assert_int_equal(PEM_write_bio_X509(bio, certificate), 1);
	long len = BIO_get_mem_data(bio, &data);
	assert_int_equal(buf_append(&pem, data, (size_t)len), 0);
	(void)BIO_free(bio);
	return pem;
}

static void write_certificate(const char *path, X509 *certificate)
{
	struct buf pem = pem_of(certificate);

	assert_int_equal(fs_write_file_atomic(path, buf_slice(&pem), 0600), 0);
	buf_free(&pem);
}

/* Takes back the serial, 0: none. */
static X509_CRL *make_list(const struct pair *issuer, long serial, long days)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *now = X509_gmtime_adj(NULL, -20 * DAY_S);
	ASN1_TIME *next = X509_gmtime_adj(NULL, days * DAY_S);

	assert_int_equal(X509_CRL_set_version(crl, 1), 1);
	assert_int_equal(X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer->certificate)),
			 1);
	assert_int_equal(X509_CRL_set1_lastUpdate(crl, now), 1);
	assert_int_equal(X509_CRL_set1_nextUpdate(crl, next), 1);
	if (serial) {
		X509_REVOKED *entry = X509_REVOKED_new();
		ASN1_INTEGER *number = ASN1_INTEGER_new();

		assert_int_equal(ASN1_INTEGER_set(number, serial), 1);
		assert_int_equal(X509_REVOKED_set_serialNumber(entry, number), 1);
		assert_int_equal(X509_REVOKED_set_revocationDate(entry, now), 1);
		assert_int_equal(X509_CRL_add0_revoked(crl, entry), 1);
		ASN1_INTEGER_free(number);
	}
	assert_int_equal(X509_CRL_sort(crl), 1);
	assert_true(X509_CRL_sign(crl, issuer->key, EVP_sha256()) > 0);
	ASN1_TIME_free(now);
	ASN1_TIME_free(next);
	return crl;
}

static void write_list(const char *path, const struct pair *issuer, long serial, long days)
{
	X509_CRL *crl = make_list(issuer, serial, days);
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_int_equal(PEM_write_X509_CRL(file, crl), 1);
	assert_int_equal(fclose(file), 0);
	X509_CRL_free(crl);
}

/* -- the node -- */

static int set_up(void **state)
{
	struct node *node = calloc(1, sizeof(*node));

	(void)snprintf(node->folder, sizeof(node->folder), "/tmp/mayfly-certificate-XXXXXX");
	assert_non_null(mkdtemp(node->folder));
	(void)snprintf(node->operators, sizeof(node->operators), "%s/operators", node->folder);
	(void)snprintf(node->tenants, sizeof(node->tenants), "%s/tenants", node->folder);
	(void)snprintf(node->crl, sizeof(node->crl), "%s/crl", node->folder);
	(void)snprintf(node->lists, sizeof(node->lists), "%s/lists", node->folder);
	assert_int_equal(mkdir(node->lists, 0700), 0);
	node->operator_ca = make("operators", NULL, 1, 100, NULL);
	node->tenant_ca = make("tenants", NULL, 1, 100, NULL);
	write_certificate(node->operators, node->operator_ca.certificate);
	write_certificate(node->tenants, node->tenant_ca.certificate);
	*state = node;
	return 0;
}

static int tear_down(void **state)
{
	struct node *node = *state;

	drop(&node->operator_ca);
	drop(&node->tenant_ca);
	assert_int_equal(fs_remove_tree(node->folder), 0);
	free(node);
	return 0;
}

static int load(struct node *node, const char *crl, struct certificates **ret, struct error *e)
{
	const struct rpc_tls_files files = { .client_ca = { node->operators, node->tenants },
					     .crl = crl };
	_cleanup_buf_ struct buf pem = BUF_INIT;
	int r = certificates_load(&files, ret, &pem, e);

	if (r == 0)
		assert_non_null(strstr(strstr(buf_string(&pem), "BEGIN") + 1, "BEGIN"));
	return r;
}

static struct certificates *load_good(struct node *node, const char *crl)
{
	_cleanup_error_ struct error e = ERROR_INIT;
	struct certificates *certificates = NULL;

	if (load(node, crl, &certificates, &e) < 0)
		fail_msg("%s", error_text(&e));
	return certificates;
}

static struct rpc_certificate judge_at(struct certificates *certificates, X509 *leaf, X509 *chain,
				       int64_t now_us)
{
	_cleanup_buf_ struct buf pem = pem_of(leaf), more = BUF_INIT;
	struct rpc_certificate found;

	if (chain)
		more = pem_of(chain);
	certificates_judge(certificates, buf_slice(&pem), buf_slice(&more), now_us, &found);
	assert_true(found.is_shown);
	return found;
}

static struct rpc_certificate judge(struct certificates *certificates, const struct pair *leaf)
{
	return judge_at(certificates, leaf->certificate, NULL, NOW_US);
}

/* -- authorities -- */

static void test_of_which_authority(void **state)
{
	struct node *node = *state;
	_cleanup_(certificates_free_p) struct certificates *certificates = load_good(node, NULL);
	_cleanup_pair_ struct pair stranger_ca = make("operators", NULL, 1, 100, NULL);
	_cleanup_pair_ struct pair olga = make("olga", &node->operator_ca, 7, 50, "DNS:olga");
	_cleanup_pair_ struct pair alice =
		make("olga", &node->tenant_ca, 7, 50, "DNS:olga,URI:" ALICE);
	_cleanup_pair_ struct pair two =
		make("two", &node->tenant_ca, 8, 50, "URI:" ALICE ",URI:spiffe://other/x");
	_cleanup_pair_ struct pair mallory = make("olga", &stranger_ca, 7, 50, "DNS:olga");
	_cleanup_pair_ struct pair other_ca = make("others", NULL, 1, 100, NULL);
	_cleanup_pair_ struct pair stray = make("olga", &other_ca, 7, 50, "DNS:olga");
	struct rpc_certificate found = judge(certificates, &olga);

	assert_int_equal(found.authority, 0);
	assert_string_equal(found.refusal, "");
	assert_int_equal(found.uris, 0);
	assert_true(found.expires_us > NOW_US + 49 * DAY_S * USEC_PER_SEC &&
		    found.expires_us < NOW_US + 51 * DAY_S * USEC_PER_SEC);
	found = judge(certificates, &alice); /* an operator's name makes no operator */
	assert_int_equal(found.authority, 1);
	assert_string_equal(found.uri, ALICE);
	found = judge(certificates, &two);
	assert_int_equal(found.uris, 2);
	assert_string_equal(found.uri, "");
	found = judge(certificates, &mallory);
	assert_int_equal(found.authority, -1);
	assert_string_equal(found.refusal, "certificate signature failure");
	found = judge(certificates, &stray);
	assert_int_equal(found.authority, -1);
	assert_string_equal(found.refusal, "no authority of this node vouches for it");
}

/* What was good when the connection was made may not be for ever. */
static void test_time_goes_by(void **state)
{
	struct node *node = *state;
	_cleanup_(certificates_free_p) struct certificates *certificates = load_good(node, NULL);
	_cleanup_pair_ struct pair olga = make("olga", &node->operator_ca, 7, 50, "DNS:olga");
	struct rpc_certificate found = judge(certificates, &olga);
	int64_t later_us = found.expires_us + USEC_PER_SEC;

	assert_string_equal(found.refusal, "");
	found = judge_at(certificates, olga.certificate, NULL, later_us);
	assert_string_equal(found.refusal, "it has expired");
	assert_int_equal(found.authority, -1);
}

static void test_an_authority_below_another(void **state)
{
	struct node *node = *state;
	_cleanup_pair_ struct pair below = make("below", &node->operator_ca, 9, 100, NULL);
	_cleanup_pair_ struct pair leaf = make("leaf", &below, 3, 50, "DNS:leaf");
	_cleanup_(certificates_free_p) struct certificates *certificates = load_good(node, NULL);
	struct certificates *none = NULL;
	_cleanup_error_ struct error same = ERROR_INIT, sub = ERROR_INIT;
	struct rpc_certificate found =
		judge_at(certificates, leaf.certificate, below.certificate, NOW_US);

	/* One that the client shows is fine; but none may be both. */
	assert_int_equal(found.authority, 0);
	write_certificate(node->tenants, below.certificate);
	assert_true(load(node, NULL, &none, &sub) < 0);
	assert_non_null(strstr(error_text(&sub), "or below it"));
	write_certificate(node->tenants, node->operator_ca.certificate);
	assert_true(load(node, NULL, &none, &same) < 0);
	assert_int_equal(same.code, ERROR_INVALID_PARAMETER);
}

/* -- revocation -- */

static void test_taken_back(void **state)
{
	struct node *node = *state;
	_cleanup_pair_ struct pair olga = make("olga", &node->operator_ca, 7, 50, "DNS:olga");
	_cleanup_pair_ struct pair otto = make("otto", &node->operator_ca, 8, 50, "DNS:otto");
	_cleanup_pair_ struct pair alice = make("alice", &node->tenant_ca, 7, 50, "URI:" ALICE);
	struct rpc_certificate found;

	write_list(node->crl, &node->operator_ca, 7, 30);
	_cleanup_(certificates_free_p) struct certificates *certificates =
		load_good(node, node->crl);
	for (int i = 0; i < 2; i++) { /* found out, and remembered */
		found = judge(certificates, &olga);
		assert_string_equal(found.refusal, "it is revoked");
		found = judge(certificates, &otto);
		assert_string_equal(found.refusal, "");
		assert_true(found.expires_us < NOW_US + 31 * DAY_S * USEC_PER_SEC);
		/* The same number of another authority is another certificate. */
		found = judge(certificates, &alice);
		assert_string_equal(found.refusal, "");
	}
	found = judge_at(certificates, otto.certificate, NULL, NOW_US + 31 * DAY_S * USEC_PER_SEC);
	assert_string_equal(found.refusal, "the revocation list of its authority has expired");
}

static void test_lists_that_say_nothing(void **state)
{
	struct node *node = *state;
	_cleanup_pair_ struct pair namesake = make("operators", NULL, 1, 100, NULL);
	_cleanup_pair_ struct pair olga = make("olga", &node->operator_ca, 7, 50, "DNS:olga");
	_cleanup_pair_ struct pair alice = make("alice", &node->tenant_ca, 7, 50, "URI:" ALICE);
	struct rpc_certificate found;

	write_list(node->crl, &node->operator_ca, 7, -1);
	_cleanup_(certificates_free_p) struct certificates *expired = load_good(node, node->crl);
	_cleanup_pair_ struct pair otto = make("otto", &node->operator_ca, 8, 50, "DNS:otto");
	found = judge(expired, &otto);
	assert_string_equal(found.refusal, "the revocation list of its authority has expired");
	found = judge(expired, &olga);
	assert_string_equal(found.refusal, "it is revoked");
	found = judge(expired, &alice);
	assert_string_equal(found.refusal, "");

	write_list(node->crl, &namesake, 99, 30);
	_cleanup_(certificates_free_p) struct certificates *forged = load_good(node, node->crl);
	found = judge(forged, &olga);
	assert_string_equal(found.refusal, "no revocation list of its authority is signed by it");
}

static void test_an_authority_that_was_taken_back(void **state)
{
	struct node *node = *state;
	_cleanup_pair_ struct pair below = make("below", &node->operator_ca, 9, 100, NULL);
	_cleanup_pair_ struct pair leaf = make("leaf", &below, 3, 50, "DNS:leaf");
	struct rpc_certificate found;

	write_list(node->crl, &node->operator_ca, 9, 30);
	_cleanup_(certificates_free_p) struct certificates *certificates =
		load_good(node, node->crl);
	found = judge_at(certificates, leaf.certificate, below.certificate, NOW_US);
	assert_string_equal(found.refusal, "it is revoked");
}

/* -- files -- */

static void assert_refused(struct node *node, const char *crl, const char *text)
{
	_cleanup_error_ struct error e = ERROR_INIT;
	struct certificates *none = NULL;

	assert_true(load(node, crl, &none, &e) < 0);
	assert_null(none);
	if (!strstr(error_text(&e), text))
		fail_msg("%s, not %s", error_text(&e), text);
}

static void test_files_that_are_refused(void **state)
{
	struct node *node = *state;
	_cleanup_buf_ struct buf good = BUF_INIT;
	X509_CRL *partial = make_list(&node->operator_ca, 0, 30);
	ASN1_INTEGER *base = ASN1_INTEGER_new();
	FILE *file;

	assert_refused(node, node->crl, "cannot read");
	assert_int_equal(fs_write_file_atomic(node->crl, slice_from_string("no list\n"), 0600), 0);
	assert_refused(node, node->crl, "is not a file of revocation lists");
	write_list(node->crl, &node->operator_ca, 7, 30);
	assert_int_equal(fs_read_file(node->crl, 1 << 20, &good), 0);
	for (size_t cut = 10; cut < 80; cut += 13) { /* a copy that was not finished */
		struct slice part = slice_new(good.data, good.len - cut);

		assert_int_equal(fs_write_file_atomic(node->crl, part, 0600), 0);
		assert_refused(node, node->crl, "is not a file of revocation lists");
	}
	file = fopen(node->crl, "we");
	assert_int_equal(X509_CRL_add1_ext_i2d(partial, NID_delta_crl, base, 1, 0), 1);
	ASN1_INTEGER_free(base);
	assert_true(X509_CRL_sign(partial, node->operator_ca.key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_X509_CRL(file, partial), 1);
	(void)fclose(file);
	X509_CRL_free(partial);
	assert_refused(node, node->crl, "critical extension");
	assert_int_equal(
		fs_write_file_atomic(node->operators, slice_from_string("no certificate"), 0600),
		0);
	assert_refused(node, NULL, "has no PEM certificate");
}

static void test_a_folder_of_lists(void **state)
{
	struct node *node = *state;
	_cleanup_pair_ struct pair olga = make("olga", &node->operator_ca, 7, 50, "DNS:olga");
	_cleanup_pair_ struct pair alice = make("alice", &node->tenant_ca, 7, 50, "URI:" ALICE);
	char one[128], two[128];
	struct rpc_certificate found;

	_cleanup_(certificates_free_p) struct certificates *empty = load_good(node, node->lists);
	found = judge(empty, &olga);
	assert_string_equal(found.refusal, "");
	(void)snprintf(one, sizeof(one), "%s/operators.pem", node->lists);
	(void)snprintf(two, sizeof(two), "%s/tenants.pem", node->lists);
	write_list(one, &node->operator_ca, 7, 30);
	write_list(two, &node->tenant_ca, 7, 30);
	_cleanup_(certificates_free_p) struct certificates *both = load_good(node, node->lists);
	found = judge(both, &olga);
	assert_string_equal(found.refusal, "it is revoked");
	found = judge(both, &alice);
	assert_string_equal(found.refusal, "it is revoked");
}

static void test_garbage_is_worth_nothing(void **state)
{
	struct node *node = *state;
	_cleanup_(certificates_free_p) struct certificates *certificates = load_good(node, NULL);
	struct rpc_certificate found;

	certificates_judge(certificates, slice_from_string("-----BEGIN CERTIFICATE-----\nAA"),
			   SLICE_INIT, NOW_US, &found);
	assert_string_equal(found.refusal, "it cannot be read");
	assert_int_equal(found.authority, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_of_which_authority, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_time_goes_by, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_an_authority_below_another, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_taken_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_lists_that_say_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_an_authority_that_was_taken_back, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_files_that_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_folder_of_lists, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_garbage_is_worth_nothing, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
