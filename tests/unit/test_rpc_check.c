/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_rpc

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>
#include <errno.h>

#include "mayfly/error.h"
#include "rpc/check.h"
#include "rpc/rpc_server.h"
#include "rpc/status.h"

#include <google/protobuf/descriptor.pb-c.h>
#include <mayfly/v1/function.pb-c.h>

#define CREATE  mayfly__v1__create_function_request__descriptor
#define MESSAGE google__protobuf__descriptor_proto__descriptor /* the one that nests in itself */

static int check(const ProtobufCMessageDescriptor *d, const void *bytes, size_t len,
		 struct error *e)
{
	error_clear(e);
	return rpc_check_message(d, slice_new(bytes, len), e);
}

/* Field 2 of CreateFunctionRequest is function_name, 9 environment with key 1 and value 2. */
static void test_text(void **state _unused_)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *field; /* NULL: fine */
	} cases[] = {
		{ "", 0, NULL },
		{ "\x12\x03"
		  "abc",
		  5, NULL },
		{ "\x12\x03"
		  "a\0b",
		  5, "function_name" },
		{ "\x12\x02\xc3\xa9", 4, NULL },                /* é */
		{ "\x12\x02\xc0\x80", 4, "function_name" },     /* NUL, overlong */
		{ "\x12\x03\xed\xa0\x80", 5, "function_name" }, /* a surrogate */
		{ "\x12\x04\xf0\x9f\x92\xa9", 6, NULL },
		{ "\x12\x04\xf4\x90\x80\x80", 6, "function_name" }, /* over U+10FFFF */
		{ "\x12\x02"
		  "a\xe2",
		  4, "function_name" }, /* cut off */
		{ "\x4a\x06\x0a\x01k\x12\x01v", 8, NULL },
		{ "\x4a\x06\x0a\x01k\x12\x01\xff", 8, "environment.value" },
		{ "\x2a\x03"
		  "a\0\xff",
		  5, NULL }, /* zip_file takes any bytes */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_error_ struct error e = ERROR_INIT;
		int r = check(&CREATE, cases[i].bytes, cases[i].len, &e);
		if (!cases[i].field) {
			assert_int_equal(r, 0);
			continue;
		}
		assert_int_equal(r, -EINVAL);
		assert_int_equal(e.code, ERROR_INVALID_PARAMETER);
		assert_string_equal(e.field, cases[i].field);
	}
}

static void test_malformed(void **state _unused_)
{
	static const struct {
		const char *bytes;
		size_t len;
	} cases[] = {
		{ "\x12", 1 }, /* no length */
		{ "\x12\x05"
		  "abc",
		  5 },             /* less than its length */
		{ "\x02\x00", 2 }, /* field 0 */
		{ "\x0b", 1 },     /* a group */
		{ "\x0f", 1 },     /* wire type 7 */
		{ "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12 }, /* a varint of 11 */
		{ "\x0d\x00\x00", 3 },                                      /* half a fixed32 */
		{ "\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11 },     /* a huge length */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_error_ struct error e = ERROR_INIT;
		assert_int_equal(check(&CREATE, cases[i].bytes, cases[i].len, &e), -EINVAL);
	}
}

/* `depth` messages inside one another: DescriptorProto.nested_type is field 3. */
static struct buf nest(unsigned depth)
{
	struct buf inner = BUF_INIT;
	for (unsigned i = 0; i < depth; i++) {
		struct buf outer = BUF_INIT;
		uint8_t head[6] = { 0x1a };
		size_t n = 1, len = inner.len;
		for (; len >= 0x80; len >>= 7)
			head[n++] = (uint8_t)(len | 0x80);
		head[n++] = (uint8_t)len;
		assert_int_equal(buf_append(&outer, head, n), 0);
		assert_int_equal(buf_append(&outer, inner.data, inner.len), 0);
		buf_free(&inner);
		inner = outer;
	}
	return inner;
}

static void test_nesting(void **state _unused_)
{
	_cleanup_error_ struct error e = ERROR_INIT;
	_cleanup_buf_ struct buf most = nest(RPC_MAX_NESTING - 1), more = nest(RPC_MAX_NESTING),
				 deep = nest(20000);

	assert_int_equal(check(&MESSAGE, most.data, most.len, &e), 0);
	assert_int_equal(check(&MESSAGE, more.data, more.len, &e), -EINVAL);
	assert_int_equal(check(&MESSAGE, deep.data, deep.len, &e), -EINVAL);
	assert_non_null(strstr(e.message, "nested too deeply"));
}

static void test_too_many_fields(void **state _unused_)
{
	_cleanup_error_ struct error e = ERROR_INIT;
	_cleanup_buf_ struct buf many = BUF_INIT;

	for (unsigned i = 0; i <= RPC_MAX_FIELDS; i++)
		assert_int_equal(buf_append(&many, "\x4a\x00", 2), 0); /* an empty variable */
	assert_int_equal(check(&CREATE, many.data, many.len, &e), -EINVAL);
	assert_int_equal(check(&CREATE, many.data, many.len - 2, &e), 0);
}

static void test_decode_refuses_wrong_types(void **state _unused_)
{
	ProtobufCMessage *message = NULL;
	_cleanup_error_ struct error e = ERROR_INIT;

	/* function_name as a number: well-formed, but not this message */
	int r = rpc_decode_message(&CREATE, slice_new("\x10\x01", 2), &message, &e);
	assert_int_equal(r, -EINVAL);
	assert_null(message);
}

/* Every error code comes back from the wire as it went. */
static void test_status_round_trip(void **state _unused_)
{
	for (unsigned i = 1; i < _ERROR_CODE_MAX; i++) {
		_cleanup_error_ struct error e = ERROR_INIT, back = ERROR_INIT;
		_cleanup_buf_ struct buf status = BUF_INIT, text = BUF_INIT;

		(void)error_set(&e, (enum error_code)i, i % 2 ? "a.field" : NULL, "number %u", i);
		assert_int_equal(rpc_status_encode(&e, "test", &status, &text), 0);
		rpc_status_decode(error_kind(e.code)->grpc_status, buf_slice(&text),
				  buf_slice(&status), &back);
		assert_int_equal(back.code, e.code);
		assert_string_equal(back.message, e.message);
		if (e.field)
			assert_string_equal(back.field, e.field);
		else
			assert_null(back.field);
	}
}

static void test_status_without_details(void **state _unused_)
{
	_cleanup_error_ struct error e = ERROR_INIT;

	rpc_status_decode(5, slice_from_string("gone"), SLICE_INIT, &e);
	assert_int_equal(e.code, ERROR_NOT_FOUND);
	error_clear(&e);
	rpc_status_decode(99, slice_from_string("odd"), slice_from_string("\x12\x05no"), &e);
	assert_int_equal(e.code, ERROR_INTERNAL);
	assert_string_equal(e.message, "odd");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_nesting),
		cmocka_unit_test(test_too_many_fields),
		cmocka_unit_test(test_decode_refuses_wrong_types),
		cmocka_unit_test(test_status_round_trip),
		cmocka_unit_test(test_status_without_details),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
