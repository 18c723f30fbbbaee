/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/certificate_files.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>

#include "mayfly/fs.h"
#include "mayfly/log.h"

#define MAX_FILE_BYTES (1U << 20)
#define MAX_CRL_BYTES  (32U << 20)
#define NAME_BYTES     256

static void bio_free(BIO *bio)
{
	(void)BIO_free(bio);
}
DEFINE_CLEANUP(BIO, bio_free)
static void stack_free(STACK_OF(X509) * stack)
{
	sk_X509_pop_free(stack, X509_free);
}

STACK_OF(X509) * certificate_parse(struct slice pem)
{
	_cleanup_(bio_free_p) BIO *bio = pem.len && pem.len < MAX_FILE_BYTES
						 ? BIO_new_mem_buf(pem.data, (int)pem.len)
						 : NULL;
	STACK_OF(X509) *stack = bio ? sk_X509_new_null() : NULL;
	X509 *certificate;

	while (stack && (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
		if (sk_X509_push(stack, certificate) <= 0)
			X509_free(certificate);
	ERR_clear_error(); /* the end of the text is one */
	return stack;
}

/* -- authorities -- */

static int read_authority(const char *path, struct buf *pem, STACK_OF(X509) * *ret, struct error *e)
{
	_cleanup_buf_ struct buf own = BUF_INIT;
	int r = fs_read_file(path, MAX_FILE_BYTES, &own);

	if (r < 0)
		return error_set_errno(e, r, "cannot read %s", path);
	*ret = certificate_parse(buf_slice(&own));
	if (sk_X509_num(*ret) <= 0)
		return error_set(e, ERROR_INVALID_PARAMETER, NULL, "%s has no PEM certificate",
				 path);
	r = buf_append(pem, own.data, own.len);
	if (r == 0)
		r = buf_append_string(pem, "\n");
	return r < 0 ? error_set_errno(e, r, "cannot read %s", path) : 0;
}

/* What stands in the file is trusted, be it a root or not. */
static int fill_store(const STACK_OF(X509) * certificates, X509_STORE **ret)
{
	X509_STORE *store = X509_STORE_new();

	*ret = store;
	if (!store || X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) != 1)
		return -ENOMEM;
	for (int i = 0; i < sk_X509_num(certificates); i++)
		if (X509_STORE_add_cert(store, sk_X509_value(certificates, i)) != 1)
			return -ENOMEM;
	return 0;
}

/* Else it could be taken for the other's. */
static int check_apart(const struct rpc_tls_files *files, STACK_OF(X509) *const *authorities,
		       size_t a, size_t b, struct error *e)
{
	for (int i = 0; i < sk_X509_num(authorities[a]); i++)
		for (int k = 0; k < sk_X509_num(authorities[b]); k++) {
			X509 *one = sk_X509_value(authorities[a], i);
			X509 *other = sk_X509_value(authorities[b], k);

			if (X509_cmp(one, other) == 0 || X509_check_issued(one, other) == X509_V_OK)
				return error_set(e, ERROR_INVALID_PARAMETER, NULL,
						 "an authority in %s is the same as one in %s, or "
						 "below it; they must have nothing to do with each "
						 "other",
						 files->client_ca[b], files->client_ca[a]);
		}
	return 0;
}

static int load_authorities(const struct rpc_tls_files *files, struct certificate_files *ret,
			    STACK_OF(X509) * *authorities, struct buf *pem, struct error *e)
{
	int r = 0;

	for (size_t i = 0; i < RPC_TLS_AUTHORITIES && r == 0; i++) {
		if (!files->client_ca[i])
			continue;
		r = read_authority(files->client_ca[i], pem, &authorities[i], e);
		if (r == 0 && fill_store(authorities[i], &ret->stores[i]) < 0)
			r = error_set_errno(e, ENOMEM, "cannot use %s", files->client_ca[i]);
	}
	for (size_t i = 0; i < RPC_TLS_AUTHORITIES && r == 0; i++)
		for (size_t k = 0; k < RPC_TLS_AUTHORITIES && r == 0; k++)
			if (i != k)
				r = check_apart(files, authorities, i, k, e);
	return r;
}

/* -- revocation lists -- */

/* One that is not about all certificates of its issuer must not be taken for one that is. */
static int check_list(X509_CRL *crl, const char *path, struct error *e)
{
	char issuer[NAME_BYTES] = "";

	for (int i = 0; i < X509_CRL_get_ext_count(crl); i++)
		if (X509_EXTENSION_get_critical(X509_CRL_get_ext(crl, i)))
			return error_set(e, ERROR_INVALID_PARAMETER, NULL,
					 "a revocation list in %s has a critical extension, which "
					 "is not understood",
					 path);
	if (!X509_CRL_get0_nextUpdate(crl) ||
	    X509_cmp_time(X509_CRL_get0_nextUpdate(crl), NULL) > 0)
		return 0;
	(void)X509_NAME_oneline(X509_CRL_get_issuer(crl), issuer, sizeof(issuer));
	log_warning("rpc: the revocation list of %s in %s has expired: certificates of that "
		    "authority are refused until there is a new one",
		    issuer, path);
	return 0;
}

static int load_lists_of(const char *path, struct certificate_files *ret, struct error *e)
{
	_cleanup_buf_ struct buf pem = BUF_INIT;
	_cleanup_(bio_free_p) BIO *bio = NULL;
	int r = fs_read_file(path, MAX_CRL_BYTES, &pem), count = 0;
	X509_CRL *crl;

	if (r < 0)
		return error_set_errno(e, r, "cannot read %s", path);
	bio = BIO_new_mem_buf(buf_string(&pem), (int)pem.len);
	while (bio && (crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL))) {
		if (sk_X509_CRL_push(ret->crls, crl) <= 0) {
			X509_CRL_free(crl);
			return error_set_errno(e, ENOMEM, "cannot read %s", path);
		}
		r = check_list(crl, path, e);
		if (r < 0)
			return r;
		count++;
	}
	/* The end of the file has no beginning of another; anything else is damage. */
	bool whole = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
	ERR_clear_error();
	if (count > 0 && whole)
		return 0;
	return error_set(e, ERROR_INVALID_PARAMETER, NULL,
			 "%s is not a file of revocation lists in PEM, or is damaged", path);
}

static int is_shown(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* An empty folder has none: so it can be made before there is one. */
static int load_folder(const char *folder, struct certificate_files *ret, struct error *e)
{
	struct dirent **entries;
	int count = scandir(folder, &entries, is_shown, alphasort), r = 0;

	if (count < 0)
		return error_set_errno(e, errno, "cannot read %s", folder);
	for (int i = 0; i < count; i++) {
		_cleanup_free_ char *path = NULL;

		if (r == 0 && asprintf(&path, "%s/%s", folder, entries[i]->d_name) < 0) {
			path = NULL;
			r = error_set_errno(e, ENOMEM, "cannot read %s", folder);
		}
		if (r == 0)
			r = load_lists_of(path, ret, e);
		free(entries[i]);
	}
	free(entries);
	return r;
}

static int load_lists(const char *path, struct certificate_files *ret, struct error *e)
{
	struct stat st;

	ret->crls = sk_X509_CRL_new_null();
	if (!ret->crls)
		return error_set_errno(e, ENOMEM, "cannot read %s", path);
	if (stat(path, &st) < 0)
		return error_set_errno(e, errno, "cannot read %s", path);
	return S_ISDIR(st.st_mode) ? load_folder(path, ret, e) : load_lists_of(path, ret, e);
}

int certificate_files_load(const struct rpc_tls_files *files, struct certificate_files *ret,
			   struct buf *ret_pem, struct error *e)
{
	STACK_OF(X509) * authorities[RPC_TLS_AUTHORITIES] = { NULL };
	int r = load_authorities(files, ret, authorities, ret_pem, e);

	if (r == 0 && files->crl)
		r = load_lists(files->crl, ret, e);
	for (size_t i = 0; i < RPC_TLS_AUTHORITIES; i++)
		stack_free(authorities[i]);
	return r;
}

void certificate_files_clear(struct certificate_files *files)
{
	for (size_t i = 0; i < RPC_TLS_AUTHORITIES; i++)
		X509_STORE_free(files->stores[i]);
	sk_X509_CRL_pop_free(files->crls, X509_CRL_free);
}
