/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/certificate.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <time.h>
/* uthash's own choice falls through switch labels, which clang does not forgive. */
#define HASH_FUNCTION HASH_FNV
#include <uthash.h>

#include "mayfly/clock.h"
#include "mayfly/log.h"
#include "rpc/certificate_files.h"

#define DIGEST_BYTES   32
#define REMEMBERED_MAX 1024
#define REFUSED_US     (60 * USEC_PER_SEC) /* until it is looked at, and logged, again */

struct remembered {
	uint8_t digest[DIGEST_BYTES]; /* of all that the client showed */
	struct rpc_certificate certificate;
	UT_hash_handle hh;
};

struct certificates {
	struct certificate_files files;
	struct remembered *remembered;
};

static void context_free(X509_STORE_CTX *context)
{
	X509_STORE_CTX_free(context);
}
DEFINE_CLEANUP(X509_STORE_CTX, context_free)
static void names_free(GENERAL_NAMES *names)
{
	GENERAL_NAMES_free(names);
}
DEFINE_CLEANUP(GENERAL_NAMES, names_free)

int certificates_load(const struct rpc_tls_files *files, struct certificates **ret,
		      struct buf *ret_pem, struct error *e)
{
	_cleanup_(certificates_free_p) struct certificates *certificates =
		calloc(1, sizeof(*certificates));
	bool asks = false;
	int r;

	if (!certificates)
		return error_set_errno(e, ENOMEM, "cannot load the authorities of clients");
	for (size_t i = 0; i < RPC_TLS_AUTHORITIES; i++)
		asks |= files->client_ca[i] != NULL;
	*ret = NULL;
	if (!asks)
		return 0;
	r = certificate_files_load(files, &certificates->files, ret_pem, e);
	if (r == 0)
		*ret = TAKE_PTR(certificates);
	return r;
}

static void forget_all(struct certificates *certificates)
{
	struct remembered *entry, *next;

	HASH_ITER (hh, certificates->remembered, entry, next) {
		HASH_DEL(certificates->remembered, entry);
		free(entry);
	}
}

struct certificates *certificates_free(struct certificates *certificates)
{
	if (!certificates)
		return NULL;
	forget_all(certificates);
	certificate_files_clear(&certificates->files);
	free(certificates);
	return NULL;
}

/* -- names -- */

/* What has a NUL in it, or is too long to keep, is no name of ours; but it counts. */
static void copy_uri(const ASN1_IA5STRING *uri, struct rpc_certificate *ret)
{
	const unsigned char *data = ASN1_STRING_get0_data(uri);
	size_t len = (size_t)ASN1_STRING_length(uri);

	ret->uris++;
	ret->uri[0] = 0;
	if (ret->uris > 1 || len >= sizeof(ret->uri) || memchr(data, 0, len))
		return;
	memcpy(ret->uri, data, len);
	ret->uri[len] = 0;
}

static void find_uri(X509 *leaf, struct rpc_certificate *ret)
{
	_cleanup_(names_free_p) GENERAL_NAMES *names =
		X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);

	for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == GEN_URI)
			copy_uri(name->d.uniformResourceIdentifier, ret);
	}
}

/* -- times -- */

static int64_t time_us(const ASN1_TIME *at)
{
	struct tm tm;

	return at && ASN1_TIME_to_tm(at, &tm) == 1 ? (int64_t)timegm(&tm) * USEC_PER_SEC
						   : INT64_MAX;
}

static void sooner(int64_t *at, int64_t other)
{
	if (other < *at)
		*at = other;
}

/* -- revocation -- */

static void refuse(struct rpc_certificate *certificate, const char *why)
{
	if (!certificate->refusal[0])
		(void)snprintf(certificate->refusal, sizeof(certificate->refusal), "%s", why);
}

static bool has_name_of(X509_CRL *crl, X509 *issuer)
{
	return X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(issuer)) == 0;
}

static bool is_signed_by(X509_CRL *crl, X509 *issuer)
{
	EVP_PKEY *key = X509_get0_pubkey(issuer);

	return key && X509_CRL_verify(crl, key) == 1;
}

/* Once any list takes a certificate back it is taken back; the newest one says until when they are
 * believed. */
static void check_lists(const struct certificate_files *files, X509 *certificate, X509 *issuer,
			struct rpc_certificate *ret, int64_t now_us)
{
	int64_t believed_us = 0;
	bool named = false, found = false;

	for (int i = 0; i < sk_X509_CRL_num(files->crls); i++) {
		X509_CRL *crl = sk_X509_CRL_value(files->crls, i);
		X509_REVOKED *entry;
		int64_t next_us = time_us(X509_CRL_get0_nextUpdate(crl));

		if (!has_name_of(crl, issuer))
			continue;
		named = true;
		if (!is_signed_by(crl, issuer))
			continue;
		found = true;
		if (X509_CRL_get0_by_cert(crl, &entry, certificate) == 1)
			refuse(ret, "it is revoked");
		if (next_us > believed_us)
			believed_us = next_us;
	}
	if (named && !found)
		refuse(ret, "no revocation list of its authority is signed by it");
	if (!found)
		return;
	if (believed_us <= now_us)
		refuse(ret, "the revocation list of its authority has expired");
	sooner(&ret->expires_us, believed_us);
}

/* -- authorities -- */

/* Of no authority of this store, which says nothing about another. */
static bool is_of_none(int error)
{
	return error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
	       error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT ||
	       error == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE ||
	       error == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ||
	       error == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN;
}

static void take_chain(const struct certificate_files *files, const X509_STORE_CTX *context,
		       struct rpc_certificate *ret, int64_t now_us)
{
	const STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(context);

	for (int i = 0; i < sk_X509_num(chain); i++)
		sooner(&ret->expires_us, time_us(X509_get0_notAfter(sk_X509_value(chain, i))));
	for (int i = 0; i + 1 < sk_X509_num(chain); i++)
		check_lists(files, sk_X509_value(chain, i), sk_X509_value(chain, i + 1), ret,
			    now_us);
}

/* True when this store has decided. */
static bool ask_store(const struct certificate_files *files, int authority, X509 *leaf,
		      STACK_OF(X509) * others, struct rpc_certificate *ret, int64_t now_us)
{
	_cleanup_(context_free_p) X509_STORE_CTX *context = X509_STORE_CTX_new();
	int error;

	if (!context || X509_STORE_CTX_init(context, files->stores[authority], leaf, others) != 1 ||
	    X509_STORE_CTX_set_default(context, "ssl_client") != 1) {
		refuse(ret, "there is no memory to look at it");
		return true;
	}
	X509_STORE_CTX_set_time(context, 0, (time_t)(now_us / USEC_PER_SEC));
	if (X509_verify_cert(context) == 1) {
		ret->authority = authority;
		take_chain(files, context, ret, now_us);
		return true;
	}
	error = X509_STORE_CTX_get_error(context);
	if (is_of_none(error))
		return false;
	refuse(ret, error == X509_V_ERR_CERT_HAS_EXPIRED ? "it has expired"
							 : X509_verify_cert_error_string(error));
	return true;
}

/* The last authority first: what is below it is never of one before it. */
static void judge(const struct certificate_files *files, struct slice leaf_pem,
		  struct slice chain_pem, int64_t now_us, struct rpc_certificate *ret)
{
	STACK_OF(X509) *leaves = certificate_parse(leaf_pem);
	STACK_OF(X509) *others = certificate_parse(chain_pem);
	X509 *leaf = sk_X509_value(leaves, 0);
	bool decided = false;

	*ret = (struct rpc_certificate){ .is_shown = true,
					 .authority = -1,
					 .expires_us = INT64_MAX };
	if (!leaf)
		refuse(ret, "it cannot be read");
	else
		find_uri(leaf, ret);
	for (int i = RPC_TLS_AUTHORITIES - 1; leaf && !decided && i >= 0; i--)
		if (files->stores[i])
			decided = ask_store(files, i, leaf, others, ret, now_us);
	if (leaf && !decided)
		refuse(ret, "no authority of this node vouches for it");
	if (ret->refusal[0])
		ret->expires_us = now_us + REFUSED_US;
	sk_X509_pop_free(leaves, X509_free);
	sk_X509_pop_free(others, X509_free);
}

/* -- remembering -- */

static bool make_digest(struct slice leaf, struct slice chain, uint8_t out[DIGEST_BYTES])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool ok = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
		  EVP_DigestUpdate(context, leaf.data, leaf.len) == 1 &&
		  EVP_DigestUpdate(context, "", 1) == 1 &&
		  EVP_DigestUpdate(context, chain.data, chain.len) == 1 &&
		  EVP_DigestFinal_ex(context, out, NULL) == 1;

	EVP_MD_CTX_free(context);
	return ok;
}

static void remember(struct certificates *certificates, const uint8_t digest[DIGEST_BYTES],
		     const struct rpc_certificate *certificate)
{
	struct remembered *entry;

	if (HASH_COUNT(certificates->remembered) >= REMEMBERED_MAX)
		forget_all(certificates);
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return; /* it is looked at again */
	memcpy(entry->digest, digest, DIGEST_BYTES);
	entry->certificate = *certificate;
	HASH_ADD(hh, certificates->remembered, digest, DIGEST_BYTES, entry);
}

void certificates_judge(struct certificates *certificates, struct slice leaf, struct slice chain,
			int64_t now_us, struct rpc_certificate *ret)
{
	uint8_t digest[DIGEST_BYTES];
	struct remembered *entry;

	if (!make_digest(leaf, chain, digest)) {
		judge(&certificates->files, leaf, chain, now_us, ret);
		return;
	}
	HASH_FIND(hh, certificates->remembered, digest, DIGEST_BYTES, entry);
	if (entry && now_us < entry->certificate.expires_us) {
		*ret = entry->certificate;
		return;
	}
	if (entry) {
		HASH_DEL(certificates->remembered, entry);
		free(entry);
	}
	judge(&certificates->files, leaf, chain, now_us, ret);
	remember(certificates, digest, ret);
	if (ret->refusal[0])
		log_info("rpc: a client's certificate is refused: %s", ret->refusal);
}
