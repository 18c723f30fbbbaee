/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A ledger as it is after a year: see ledger_year.c. */

/* Its files are made in `folder`, and stay there. */
int ledger_year(const char *folder, unsigned long long records);
