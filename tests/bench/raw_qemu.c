/* SPDX-License-Identifier: Apache-2.0 */

/* The benchmark's baseline: QEMU alone, started by fork and exec on an existing base template,
 * without libvirt and without the agent, through the same dialog with the guest (Restore,
 * Initialize, Invoke) and with the same package, which is built as the agent builds it. What
 * mayflyd needs on top of it is what Mayfly costs. Prints JSON.
 *
 *   mayfly-raw-qemu --zip FILE --handler NAME [--payload JSON] [--runtime NAME]
 *                   [--memory-size MB] [-n COUNT] [--parallel N] [--state-dir DIR]
 *                   [--images DIR] [--tb-size MB] [--emulator PATH]
 *
 * $MAYFLY_STATE_DIR and $MAYFLY_IMAGES_DIR serve as --state-dir and --images. */

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "agent/image/package.h"
#include "agent/vm/domain_xml.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"
#include "tests/bench/raw_qemu.h"

#define COUNT_MAX    1000
#define PARALLEL_MAX 1000
#define THREAD_BYTES (256U << 10)

struct raw_options options = {
	.state_dir = "/var/lib/mayfly",
	.runtime = "python3.13",
	.payload = "{}",
	.emulator = "/usr/bin/qemu-system-x86_64",
	.memory = 128,
	.count = 10,
	.parallel = 1,
	.tb_size = 32,
};

struct template_manifest manifest;
char *template_folder, *work_folder, *package_image, *command_line, *preload;
int64_t begun_us;
sem_t starting;

static struct raw_sample samples[COUNT_MAX];
static atomic_uint next_sample;

void die(const char *what, const char *detail)
{
	(void)fprintf(stderr, "mayfly-raw-qemu: %s: %s\n", what, detail);
	if (work_folder && fs_remove_tree(work_folder) < 0)
		(void)fprintf(stderr, "mayfly-raw-qemu: %s is left\n", work_folder);
	_exit(1); /* and with us every QEMU */
}

char *text_new(const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		die("memory", "exhausted");
	va_end(arguments);
	return text;
}

static void *run_worker(void *arg _unused_)
{
	unsigned i;

	while ((i = atomic_fetch_add(&next_sample, 1)) < options.count)
		run_clone(&samples[i]);
	return NULL;
}

/* ---- around it ---- */

/* The image that the agent would make of this ZIP. */
static void make_package(void)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	_cleanup_free_ char *folder = text_new("%s/packages", work_folder);
	_cleanup_buf_ struct buf zip = BUF_INIT;
	struct package package;

	int r = fs_read_file(options.zip, PACKAGE_ZIPPED_BYTES, &zip);
	if (r < 0)
		die(options.zip, strerror(-r));
	if (mkdir(folder, 0700) < 0)
		die(folder, strerror(errno));
	if (package_build(work_folder, buf_slice(&zip), &package, &error) < 0)
		die("the package", error_text(&error));
	package_image = package_path(work_folder, package.digest);
	if (!package_image)
		die("memory", "exhausted");
}

/* Ctrl-C and the end of who started us: the folder goes, and QEMU with us. */
static void *wait_for_signal(void *arg)
{
	int number;

	if (sigwait(arg, &number) == 0)
		die("interrupted", strsignal(number));
	return NULL;
}

static void catch_signals(void)
{
	static sigset_t signals;
	pthread_t thread;

	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGINT);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGHUP);
	(void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
	if (pthread_create(&thread, NULL, wait_for_signal, &signals) != 0)
		die("threads", "cannot be started");
	(void)pthread_detach(thread);
}

static void find_template(void)
{
	_cleanup_free_ char *folder = text_new("%s/templates", options.state_dir);
	_cleanup_free_ char *id = text_new("base-%s-%u", options.runtime, options.memory);
	const struct dirent *entry;
	DIR *dir = opendir(folder);

	while (dir && !template_folder && (entry = readdir(dir))) {
		_cleanup_free_ char *path = text_new("%s/%s/manifest.json", folder, entry->d_name);
		_cleanup_buf_ struct buf text = BUF_INIT;

		if (fs_read_file(path, MANIFEST_MAX_BYTES, &text) >= 0 &&
		    template_manifest_parse(buf_slice(&text), &manifest, NULL) >= 0 &&
		    strcmp(manifest.id, id) == 0)
			template_folder = text_new("%s/%s", folder, entry->d_name);
	}
	if (dir)
		(void)closedir(dir);
	if (!template_folder)
		die("no such base template yet", id);
}

/* ram-readonly.so is left out: root may open the RAM file as QEMU wants to. */
static void find_preload(void)
{
	_cleanup_free_ char *four = text_new("%s/run/no-disassembler-4.so", options.state_dir);
	_cleanup_free_ char *five = text_new("%s/run/no-disassembler-5.so", options.state_dir);
	_cleanup_free_ char *pmem = text_new("%s/run/no-persistent-memory.so", options.state_dir);

	if (fs_exists(four) && fs_exists(five) && fs_exists(pmem))
		preload = text_new("%s:%s:%s", four, five, pmem);
}

static int compare_totals(const void *a, const void *b)
{
	const struct raw_sample *left = a;
	const struct raw_sample *right = b;

	return (left->total_ms > right->total_ms) - (left->total_ms < right->total_ms);
}

/* Until the last clone could take its event: how long that then runs does not count. */
static double start_rate(void)
{
	int64_t last_us = 1;

	for (unsigned i = 0; i < options.count; i++)
		if (samples[i].ready_us > last_us)
			last_us = samples[i].ready_us;
	return options.count * (double)USEC_PER_SEC / (double)last_us;
}

static double total_of_rank(unsigned percent)
{
	return samples[(options.count * percent + 99) / 100 - 1].total_ms;
}

static void print_results(void)
{
	json_t *list = json_array();
	json_t *root;

	for (unsigned i = 0; i < options.count; i++)
		(void)json_array_append_new(
			list, json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "spawn",
					samples[i].spawn_ms, "load", samples[i].load_ms, "restore",
					samples[i].restore_ms, "init", samples[i].init_ms, "invoke",
					samples[i].invoke_ms, "total", samples[i].total_ms));
	qsort(samples, options.count, sizeof(samples[0]), compare_totals);
	root = json_pack("{s:i, s:i, s:f, s:f, s:f, s:f, s:s, s:o}", "n", (int)options.count,
			 "parallel", (int)options.parallel, "restores_per_second", start_rate(),
			 "p50_ms", total_of_rank(50), "p90_ms", total_of_rank(90), "max_ms",
			 total_of_rank(100), "accelerator", manifest.accelerator, "samples_ms",
			 list);
	if (!root || json_dumpf(root, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) < 0)
		die("JSON", "cannot be written");
	(void)printf("\n");
	json_decref(root);
}

static void parse_options(int argc, char **argv)
{
	static const struct option names[] = {
		{ "state-dir", required_argument, NULL, 's' },
		{ "images", required_argument, NULL, 'i' },
		{ "zip", required_argument, NULL, 'z' },
		{ "runtime", required_argument, NULL, 'r' },
		{ "handler", required_argument, NULL, 'h' },
		{ "payload", required_argument, NULL, 'j' },
		{ "emulator", required_argument, NULL, 'e' },
		{ "memory-size", required_argument, NULL, 'm' },
		{ "count", required_argument, NULL, 'n' },
		{ "parallel", required_argument, NULL, 'P' },
		{ "tb-size", required_argument, NULL, 't' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "n:", names, NULL)) >= 0) {
		unsigned number = optarg ? (unsigned)strtoul(optarg, NULL, 10) : 0;

		switch (c) {
		case 's':
			options.state_dir = optarg;
			break;
		case 'i':
			options.images = optarg;
			break;
		case 'z':
			options.zip = optarg;
			break;
		case 'r':
			options.runtime = optarg;
			break;
		case 'h':
			options.handler = optarg;
			break;
		case 'j':
			options.payload = optarg;
			break;
		case 'e':
			options.emulator = optarg;
			break;
		case 'm':
			options.memory = number;
			break;
		case 'n':
			options.count = number;
			break;
		case 'P':
			options.parallel = number;
			break;
		case 't':
			options.tb_size = number;
			break;
		default:
			exit(2);
		}
	}
	if (!options.images)
		options.images = text_new("%s/images", options.state_dir);
	if (!options.count || options.count > COUNT_MAX || !options.parallel ||
	    options.parallel > PARALLEL_MAX)
		die("usage", "-n and --parallel are 1 to 1000");
	if (!options.zip || !options.handler)
		die("usage", "--zip and --handler are needed");
}

static void run_all(void)
{
	pthread_t workers[PARALLEL_MAX];
	pthread_attr_t attributes;

	(void)pthread_attr_init(&attributes);
	(void)pthread_attr_setstacksize(&attributes, THREAD_BYTES);
	(void)sem_init(&starting, 0, (unsigned)sysconf(_SC_NPROCESSORS_ONLN));
	begun_us = clock_monotonic_us();
	for (unsigned i = 0; i < options.parallel; i++)
		if (pthread_create(&workers[i], &attributes, run_worker, NULL) != 0)
			die("threads", "cannot be started");
	for (unsigned i = 0; i < options.parallel; i++)
		(void)pthread_join(workers[i], NULL);
	(void)pthread_attr_destroy(&attributes);
}

int main(int argc, char **argv)
{
	if (getenv("MAYFLY_STATE_DIR"))
		options.state_dir = getenv("MAYFLY_STATE_DIR");
	if (getenv("MAYFLY_IMAGES_DIR"))
		options.images = getenv("MAYFLY_IMAGES_DIR");
	parse_options(argc, argv);
	find_template();
	find_preload();
	if (kernel_command_line_build(manifest.tsc_khz, &command_line) < 0)
		die("memory", "exhausted");
	work_folder = text_new("/tmp/mayfly-raw-XXXXXX");
	if (!mkdtemp(work_folder))
		die(work_folder, strerror(errno));
	catch_signals();
	make_package();
	prepare_code();
	run_all();
	print_results();
	if (fs_remove_tree(work_folder) < 0)
		die(work_folder, "cannot be removed");
	free(work_folder);
	free(package_image);
	free(command_line);
	free(preload);
	free(template_folder);
	return 0;
}
