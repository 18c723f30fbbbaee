/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The files of one finished template, with what they must look like. A stamp is cheap and
 * checked before each restore; the digest costs a read and is checked once per process and
 * whenever a stamp is not as it was. Pure and blocking; any thread. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/core/digest.h"
#include "mayfly/error.h"

/* Without the time of change: that moves whenever a clone comes or goes, with its link to the RAM
 * file. */
struct file_stamp {
	dev_t device;
	ino_t inode;
	off_t size;
	int64_t modified_ns;
};

struct template_file {
	char *path;                    /* owned; NULL: this template has none */
	char digest[DIGEST_HEX_BYTES]; /* from the manifest */
	uint64_t size_bytes;           /* from the manifest */
	struct file_stamp stamp;       /* as it was when the digest was right */
	bool stamped;
};

struct template_files {
	struct template_file ram;
	struct template_file state;
	struct template_file scratch; /* only of a function template */
};

void template_files_clear(struct template_files *files);

/* 0 if every file is there, has its size, and its stamp when it has one; else -ESTALE and why. */
int template_files_check_stamps(const struct template_files *files, struct error *error) _must_use_;
/* Reads everything and compares digests, then takes the stamps. -ESTALE. */
int template_files_verify(struct template_files *files, struct error *error) _must_use_;
/* Takes the stamps of files whose content is known to be right. */
int template_files_stamp(struct template_files *files, struct error *error) _must_use_;
/* For a new template: computes digests and sizes, punches holes where pages are zero, syncs,
 * takes the stamps. */
int template_files_seal(struct template_files *files, struct error *error) _must_use_;

/* SHA-256 over offset and content of each page that is not zero, and the size: equal for equal
 * content, however the file system keeps its holes. `punch`: turns zero pages into holes. */
int ram_digest(const char *path, bool punch, char out[DIGEST_HEX_BYTES],
	       uint64_t *ret_size) _must_use_;
