/* SPDX-License-Identifier: Apache-2.0 */

/* TLS for the server: what it shows to clients, checked when it is loaded, changed while it runs.
 * Core asks for it with each handshake, on its own threads, so nothing is read from disk then. */

#include "rpc/internal.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/conf.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "mayfly/clock.h"
#include "mayfly/fs.h"
#include "rpc/certificate.h"

#define MAX_FILE_BYTES (1U << 20)

struct rpc_tls_identity {
	struct buf certificate, key, client_ca; /* PEM; owned */
	struct certificates *certificates;      /* owned; NULL: clients are not asked */
};

static void bio_free(BIO *bio)
{
	(void)BIO_free(bio);
}
DEFINE_CLEANUP(BIO, bio_free)
static void x509_free(X509 *certificate)
{
	X509_free(certificate);
}
DEFINE_CLEANUP(X509, x509_free)
static void key_free(EVP_PKEY *key)
{
	EVP_PKEY_free(key);
}
DEFINE_CLEANUP(EVP_PKEY, key_free)

/* -- TLS 1.3 and nothing older -- */

/* Core has no setting for it, and sets its own minimum, 1.2; but it leaves alone what OpenSSL's
 * configuration takes out. This is for the whole process, which has no other use of TLS. */
int tls_require_1_3(struct error *e)
{
	static const char text[] = "openssl_conf = mayfly\n"
				   "[mayfly]\nssl_conf = names\n"
				   "[names]\nsystem_default = only\n"
				   "[only]\nProtocol = -ALL,TLSv1.3\n";
	_cleanup_(bio_free_p) BIO *bio = BIO_new_mem_buf(text, -1);
	CONF *conf = NCONF_new(NULL);
	long line;

	/* First what would be read by itself, later, over ours. */
	bool ok = bio && conf && OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL) == 1 &&
		  NCONF_load_bio(conf, bio, &line) == 1 && CONF_modules_load(conf, NULL, 0) == 1;
	NCONF_free(conf);
	return ok ? 0 : error_set(e, ERROR_INTERNAL, NULL, "cannot restrict TLS to version 1.3");
}

/* -- loading -- */

static int read_pem(const char *path, struct buf *ret, struct error *e)
{
	int r = fs_read_file(path, MAX_FILE_BYTES, ret);
	if (r < 0)
		return error_set_errno(e, r, "cannot read %s", path);
	return 0;
}

static X509 *parse_certificate(const struct buf *pem)
{
	_cleanup_(bio_free_p) BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->len);
	return bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
}

/* A key under a passphrase is refused, not asked for. */
static int no_passphrase(char *out _unused_, int size _unused_, int writes _unused_,
			 void *arg _unused_)
{
	return -1;
}

static int check_pair(const struct rpc_tls_identity *identity, const struct rpc_tls_files *files,
		      struct error *e)
{
	_cleanup_(bio_free_p) BIO *bio =
		BIO_new_mem_buf(identity->key.data, (int)identity->key.len);
	_cleanup_(x509_free_p) X509 *certificate = parse_certificate(&identity->certificate);
	_cleanup_(key_free_p) EVP_PKEY *key =
		bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;

	if (!certificate)
		return error_set(e, ERROR_INVALID_PARAMETER, NULL, "%s has no PEM certificate",
				 files->certificate);
	if (!key)
		return error_set(e, ERROR_INVALID_PARAMETER, NULL,
				 "%s has no PEM private key without passphrase", files->key);
	if (X509_check_private_key(certificate, key) != 1)
		return error_set(e, ERROR_INVALID_PARAMETER, NULL, "%s is not the key of %s",
				 files->key, files->certificate);
	return 0;
}

int rpc_tls_identity_load(const struct rpc_tls_files *files, struct rpc_tls_identity **ret,
			  struct error *e)
{
	_cleanup_(rpc_tls_identity_free_p) struct rpc_tls_identity *identity =
		calloc(1, sizeof(*identity));
	if (!identity)
		return error_set_errno(e, ENOMEM, "cannot load %s", files->certificate);
	int r = read_pem(files->certificate, &identity->certificate, e);
	if (r == 0)
		r = read_pem(files->key, &identity->key, e);
	if (r == 0)
		r = check_pair(identity, files, e);
	if (r == 0)
		r = certificates_load(files, &identity->certificates, &identity->client_ca, e);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(identity);
	return 0;
}

struct rpc_tls_identity *rpc_tls_identity_free(struct rpc_tls_identity *identity)
{
	if (!identity)
		return NULL;
	if (identity->key.data)
		OPENSSL_cleanse(identity->key.data, identity->key.len);
	buf_free(&identity->certificate);
	buf_free(&identity->key);
	buf_free(&identity->client_ca);
	certificates_free(identity->certificates);
	free(identity);
	return NULL;
}

/* -- serving -- */

static grpc_ssl_certificate_config_reload_status
fetch_config(void *arg, grpc_ssl_server_certificate_config **ret)
{
	struct rpc_server *server = arg;
	grpc_ssl_certificate_config_reload_status status =
		GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;

	(void)pthread_mutex_lock(&server->tls_lock);
	const struct rpc_tls_identity *identity = server->tls_identity;
	if (!server->tls_is_fetched) {
		const grpc_ssl_pem_key_cert_pair pair = {
			.private_key = buf_string(&identity->key),
			.cert_chain = buf_string(&identity->certificate),
		};
		/* Core wants authorities in any case; where clients are not asked for a
		 * certificate, nobody looks at them. */
		const char *ca = identity->client_ca.len ? buf_string(&identity->client_ca)
							 : buf_string(&identity->certificate);
		*ret = grpc_ssl_server_certificate_config_create(ca, &pair, 1);
		status = GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
		server->tls_is_fetched = true;
	}
	(void)pthread_mutex_unlock(&server->tls_lock);
	return status;
}

void rpc_server_set_tls_identity(struct rpc_server *server, struct rpc_tls_identity *identity)
{
	(void)pthread_mutex_lock(&server->tls_lock);
	(void)rpc_tls_identity_free(server->tls_identity);
	server->tls_identity = identity;
	server->tls_is_fetched = false;
	(void)pthread_mutex_unlock(&server->tls_lock);
}

void tls_judge(struct rpc_server *server, struct slice leaf, struct slice chain,
	       struct rpc_certificate *ret)
{
	(void)pthread_mutex_lock(&server->tls_lock);
	const struct rpc_tls_identity *identity = server->tls_identity;
	if (identity && identity->certificates)
		certificates_judge(identity->certificates, leaf, chain, clock_realtime_us(), ret);
	else
		*ret = (struct rpc_certificate){ .is_shown = true,
						 .authority = -1,
						 .expires_us = INT64_MAX,
						 .refusal = "no authority is named here any more" };
	(void)pthread_mutex_unlock(&server->tls_lock);
}

int rpc_server_listen_tls(struct rpc_server *server, const char *address,
			  struct rpc_tls_identity *identity, uint16_t *ret_port, struct error *e)
{
	grpc_ssl_client_certificate_request_type request =
		identity->client_ca.len ? GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY
					: GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE;

	rpc_server_set_tls_identity(server, identity);
	int r = tls_require_1_3(e);
	if (r < 0)
		return r;
	grpc_server_credentials *creds = grpc_ssl_server_credentials_create_with_options(
		grpc_ssl_server_credentials_create_options_using_config_fetcher(
			request, fetch_config, server));
	return listen_network(server, address, creds,
			      "is it in use, and an address of this machine?", ret_port, e);
}
