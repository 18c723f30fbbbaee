/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Reads an uploaded ZIP, believing nothing. First zip_scan() looks at all names and kinds and
 * refuses what is not a plain tree of files, folders and inner links; then zip_unpack() reads the
 * contents, counting what really comes out. Private to this room; the caller's thread. */

#include <stdint.h>
#include <sys/types.h>
#include <time.h>
#include <uthash.h>

#include "mayfly/buf.h"
#include "mayfly/error.h"

#define ZIP_TEXT_DAMAGED                                                                           \
	"Could not unzip uploaded file. Please check your file, then try to upload again."

enum zip_kind { ZIP_FILE, ZIP_FOLDER, ZIP_LINK };

/* A node of the tree, by its path without leading "./" or trailing "/". */
struct zip_node {
	char *path;
	char *target; /* of a link */
	enum zip_kind kind;
	mode_t mode;    /* permissions to be given */
	time_t mtime;   /* 0 for folders that no entry names */
	bool implied;   /* no entry of its own (yet) */
	bool unpacked;  /* its content was read */
	bool hidden;    /* a file that a later layer lies over: read, not written */
	unsigned layer; /* of a merged tree: where it comes from */
	UT_hash_handle hh;
};

struct zip_tree {
	struct zip_node *nodes; /* by path, folders before what is in them */
	uint32_t count;
};

void zip_tree_clear(struct zip_tree *tree);

/* Fills an empty tree. */
int zip_scan(struct slice zip, struct zip_tree *tree, struct error *error) _must_use_;

/* Reads all contents; writes them below the empty folder `root_fd`, or nowhere when it is -1.
 * Links are made last, so that nothing is ever written through one. */
int zip_unpack(struct slice zip, struct zip_tree *tree, int root_fd, uint64_t *ret_bytes,
	       struct error *error) _must_use_;
/* Its three steps, for what several ZIPs make together: their folders, the files of each that are
 * not hidden, links and times. */
int zip_make_folders(const struct zip_tree *tree, int root_fd, struct error *error) _must_use_;
int zip_unpack_files(struct slice zip, struct zip_tree *tree, int root_fd, uint64_t *total,
		     struct error *error) _must_use_;
int zip_finish_tree(const struct zip_tree *tree, int root_fd, struct error *error) _must_use_;

/* Lays `upper` over `lower`, later over earlier as layers are: what is of the same path is
 * replaced, a folder that is none any more loses what was below it. Nodes of `lower` are copies of
 * their own. 0 or -ENOMEM. */
int zip_tree_lay_over(struct zip_tree *lower, const struct zip_tree *upper,
		      unsigned layer) _must_use_;
/* Hides the files of `tree`, which was laid as `layer`, that are not seen in `merged`. */
void zip_tree_hide(struct zip_tree *tree, const struct zip_tree *merged, unsigned layer);

/* Fills an empty tree with what lies below a folder that this room made, in order of name. */
int zip_tree_read(const char *folder, struct zip_tree *tree, uint64_t *ret_bytes) _must_use_;

/* Splits, checks and copies an entry's name: -EINVAL with *ret_why when it is refused. "" is the
 * root itself. */
int zip_path_normalize(const char *name, char **ret, const char **ret_why) _must_use_;

/* Whether the target of the link `path` stays in the tree whatever other links there are. */
bool zip_target_is_inner(const char *path, const char *target);
