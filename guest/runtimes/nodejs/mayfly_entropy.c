/* SPDX-License-Identifier: Apache-2.0 */

/* reseed(buffer): mixes fresh bytes into OpenSSL's generator of this process and makes it
 * take more from the kernel. JavaScript has no door to it, and two clones of one snapshot
 * would else draw the same session keys.
 *
 * Both interfaces are stable ABIs whose symbols the node process already has; they are declared
 * here so that neither its headers nor its libcrypto are needed to build this. */

#include <stddef.h>

typedef struct napi_env__ *napi_env;
typedef struct napi_value__ *napi_value;
typedef struct napi_callback_info__ *napi_callback_info;
typedef napi_value (*napi_callback)(napi_env env, napi_callback_info info);

#define NAPI_OK     0
#define NAPI_EXPORT __attribute__((visibility("default")))

int napi_get_cb_info(napi_env env, napi_callback_info info, size_t *argc, napi_value *argv,
		     napi_value *this_arg, void **data);
int napi_get_buffer_info(napi_env env, napi_value value, void **data, size_t *length);
int napi_get_boolean(napi_env env, _Bool value, napi_value *result);
int napi_create_function(napi_env env, const char *name, size_t length, napi_callback callback,
			 void *data, napi_value *result);
int napi_set_named_property(napi_env env, napi_value object, const char *name, napi_value value);

void RAND_add(const void *bytes, int len, double entropy);
int RAND_poll(void);

NAPI_EXPORT napi_value napi_register_module_v1(napi_env env, napi_value exports);

/* True when OpenSSL has taken it. */
static napi_value reseed(napi_env env, napi_callback_info info)
{
	napi_value argument, result;
	size_t argc = 1, len = 0;
	void *bytes = NULL;
	_Bool done = 0;

	if (napi_get_cb_info(env, info, &argc, &argument, NULL, NULL) == NAPI_OK && argc == 1 &&
	    napi_get_buffer_info(env, argument, &bytes, &len) == NAPI_OK && len <= 4096) {
		RAND_add(bytes, (int)len, (double)len);
		done = RAND_poll() == 1;
	}
	return napi_get_boolean(env, done, &result) == NAPI_OK ? result : NULL;
}

napi_value napi_register_module_v1(napi_env env, napi_value exports)
{
	napi_value function;

	if (napi_create_function(env, "reseed", 6, reseed, NULL, &function) == NAPI_OK)
		(void)napi_set_named_property(env, exports, "reseed", function);
	return exports;
}
