/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The JSON format's telemetry events; called by log_lines.c, whose contract holds here. */

#include "agent/logs/log_lines.h"

int log_json_init_start(struct buf *to, struct line_style style, int64_t time_us,
			const struct line_source *source) _must_use_;
int log_json_init_report(struct buf *to, struct line_style style, int64_t time_us,
			 const struct line_source *source, bool invoke_phase, int64_t duration_us,
			 enum line_status status, const char *error_type) _must_use_;
int log_json_restore_start(struct buf *to, struct line_style style, int64_t time_us,
			   const struct line_source *source) _must_use_;
int log_json_restore_report(struct buf *to, struct line_style style, int64_t time_us,
			    int64_t duration_us, enum line_status status) _must_use_;
int log_json_start(struct buf *to, struct line_style style, int64_t time_us, const char *request_id,
		   const char *version, const char *end_tenant) _must_use_;
int log_json_report(struct buf *to, struct line_style style, int64_t time_us,
		    const struct line_report *report) _must_use_;
int log_json_dropped(struct buf *to, struct line_style style, int64_t time_us, uint64_t records,
		     uint64_t bytes) _must_use_;
