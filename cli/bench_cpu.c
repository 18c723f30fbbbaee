/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench_cpu.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct bench_cpu_sandbox {
	char id[40];
	double cpu_s; /* since its process began; negative: not known */
};

void bench_cpu_clear(struct bench_cpu *reading)
{
	free(reading->sandboxes);
	*reading = (struct bench_cpu){ 0 };
}

/* Fields 14 and 15 of /proc/PID/stat; proc(5). */
static double read_process(unsigned pid)
{
	unsigned long long user = 0, system = 0;
	char path[64], line[1024] = "";
	const char *fields;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	file = fopen(path, "re");
	if (!file)
		return -1;
	if (!fgets(line, sizeof(line), file))
		line[0] = '\0';
	(void)fclose(file);
	fields = strrchr(line, ')');
	if (!fields || sscanf(fields, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
			      &user, &system) != 2)
		return -1;
	return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

int bench_cpu_read(struct context *context, const char *tenant, struct bench_cpu *ret)
{
	_cleanup_message_ Mayfly__V1__ListSandboxesResponse *sandboxes = NULL;
	Mayfly__V1__ListSandboxesRequest request = MAYFLY__V1__LIST_SANDBOXES_REQUEST__INIT;

	*ret = (struct bench_cpu){ 0 };
	request.tenant = (char *)(uintptr_t)tenant;
	int r = client_node_list_sandboxes(context->client, &request, &sandboxes, &context->error);
	if (r < 0)
		return r;
	ret->sandboxes = calloc(sandboxes->n_sandboxes + 1, sizeof(*ret->sandboxes));
	if (!ret->sandboxes)
		return error_set_errno(&context->error, ENOMEM, "cannot measure");
	ret->count = sandboxes->n_sandboxes;
	for (size_t i = 0; i < ret->count; i++) {
		const Mayfly__V1__Sandbox *sandbox = sandboxes->sandboxes[i];

		(void)snprintf(ret->sandboxes[i].id, sizeof(ret->sandboxes[i].id), "%s",
			       sandbox->sandbox_id);
		ret->sandboxes[i].cpu_s = read_process(sandbox->pid);
		ret->busy += sandbox->state == MAYFLY__V1__SANDBOX_STATE__SANDBOX_STATE_BUSY;
	}
	return 0;
}

static const struct bench_cpu_sandbox *find(const struct bench_cpu *reading, const char *id)
{
	for (size_t i = 0; i < reading->count; i++)
		if (strcmp(reading->sandboxes[i].id, id) == 0)
			return &reading->sandboxes[i];
	return NULL;
}

int bench_cpu_between(const struct bench_cpu *before, const struct bench_cpu *after, double *ret_s)
{
	double sum_s = 0;

	if (before->count != after->count)
		return -EAGAIN;
	for (size_t i = 0; i < before->count; i++) {
		const struct bench_cpu_sandbox *was = &before->sandboxes[i];
		const struct bench_cpu_sandbox *is = find(after, was->id);

		if (!is)
			return -EAGAIN;
		if (was->cpu_s < 0 || is->cpu_s < 0)
			sum_s = -1;
		else if (sum_s >= 0)
			sum_s += is->cpu_s - was->cpu_s;
	}
	*ret_s = sum_s;
	return 0;
}
