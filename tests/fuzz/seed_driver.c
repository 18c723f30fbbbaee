/* SPDX-License-Identifier: Apache-2.0 */

/* Runs a fuzz target over every file of the folders given: the seeds as an ordinary test. */

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	if (!file) {
		perror(path);
		return -1;
	}
	/* Exactly sized, so that a sanitizer sees a read beyond the end. */
	(void)fseek(file, 0, SEEK_END);
	long size = ftell(file);
	rewind(file);
	uint8_t *data = size > 0 ? malloc((size_t)size) : NULL;
	size_t got = data ? fread(data, 1, (size_t)size, file) : 0;
	(void)fclose(file);
	(void)LLVMFuzzerTestOneInput(data, got);
	free(data);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned seeds = 0;
	for (int i = 1; i < argc; i++) {
		DIR *dir = opendir(argv[i]);
		if (!dir) {
			perror(argv[i]);
			return 1;
		}
		for (struct dirent *entry; (entry = readdir(dir));) {
			if (entry->d_name[0] == '.')
				continue;
			char path[4096];
			(void)snprintf(path, sizeof(path), "%s/%s", argv[i], entry->d_name);
			if (run_file(path) < 0) {
				(void)closedir(dir);
				return 1;
			}
			seeds++;
		}
		(void)closedir(dir);
	}
	printf("%u seeds\n", seeds);
	/* An empty corpus would be a test that cannot fail. */
	return seeds == 0;
}
