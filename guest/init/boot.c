/* SPDX-License-Identifier: Apache-2.0 */

#include "boot.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/random.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "mayfly/clock.h"
#include "package.h"
#include "runtime_api.h"

/* ext4's own, of which the kernel exports no header. */
#define EXT4_RESIZE    _IOW('f', 16, uint64_t)
#define MODULES_DIR    "/modules"
#define CODE_STAGE     "/code"
#define DEVICE_WAIT_US (10 * USEC_PER_SEC)
#define ENTROPY_BYTES  64
/* What a message may take on its way is not worth a jump of the clock. */
#define CLOCK_SLACK_US 10000

/* What is found at boot is in every snapshot, and no clone has to look for it again. */
static struct {
	int random_fd;
	char code[PATH_MAX];
	char scratch[PATH_MAX];
} devices = { .random_fd = -1 };

struct mount_step {
	const char *source;
	const char *target;
	const char *type;
	unsigned long flags;
	const char *data;
};

static int mount_one(const struct mount_step *step, char failure[BOOT_FAILURE_SIZE])
{
	(void)mkdir(step->target, 0755);
	if (mount(step->source, step->target, step->type, step->flags, step->data) == 0)
		return 0;
	int r = -errno;
	if (r == -EBUSY)
		return 0;
	(void)snprintf(failure, BOOT_FAILURE_SIZE, "mount %s on %s: %s",
		       step->type ? step->type : "again", step->target, strerror(-r));
	return r;
}

static int mount_all(const struct mount_step *steps, size_t count, char failure[BOOT_FAILURE_SIZE])
{
	for (size_t i = 0; i < count; i++) {
		int r = mount_one(&steps[i], failure);
		if (r < 0)
			return r;
	}
	return 0;
}

static int load_module(const char *name)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), MODULES_DIR "/%s", name);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

static int load_modules(char failure[BOOT_FAILURE_SIZE])
{
	char line[NAME_MAX + 2];
	_cleanup_fclose_ FILE *order = fopen(MODULES_DIR "/order", "re");

	/* A kernel with everything built in brings no modules. */
	if (!order)
		return 0;
	while (fgets(line, sizeof(line), order)) {
		line[strcspn(line, "\r\n")] = '\0';
		if (!*line || strchr(line, '/'))
			continue;
		int r = load_module(line);
		if (r < 0) {
			(void)snprintf(failure, BOOT_FAILURE_SIZE, "module %.100s: %s", line,
				       strerror(-r));
			return r;
		}
	}
	return 0;
}

/* Reads one line of a sysfs attribute. */
static bool attribute_equals(const char *path, const char *value)
{
	char text[64];
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return false;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return strcmp(text, value) == 0;
}

/* The entry of a sysfs class whose attribute has this value. */
static int find_device(const char *class_dir, const char *attribute, const char *value,
		       char ret_name[NAME_MAX + 1])
{
	int64_t end = clock_monotonic_us() + DEVICE_WAIT_US;

	do {
		DIR *dir = opendir(class_dir);
		int found = -ENODEV;
		for (struct dirent *entry; dir && (entry = readdir(dir));) {
			char path[PATH_MAX];
			(void)snprintf(path, sizeof(path), "%s/%s/%s", class_dir, entry->d_name,
				       attribute);
			if (!attribute_equals(path, value))
				continue;
			(void)snprintf(ret_name, NAME_MAX + 1, "%s", entry->d_name);
			found = 0;
			break;
		}
		if (dir)
			(void)closedir(dir);
		if (found == 0)
			return 0;
		/* Devices appear from the kernel's own threads, shortly after their modules. */
		(void)poll(NULL, 0, 1);
	} while (clock_monotonic_us() < end);
	return -ENODEV;
}

/* Statistics of a disk's latency, and timers to keep them, for a disk that nobody shares. */
static void calm_disk(const char *name)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "/sys/block/%s/queue/wbt_lat_usec", name);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		(void)!write(fd, "0", 1);
}

static int find_disk(const char *serial, char ret_path[PATH_MAX], char failure[BOOT_FAILURE_SIZE])
{
	char name[NAME_MAX + 1];
	int r = find_device("/sys/block", "serial", serial, name);

	if (r < 0) {
		(void)snprintf(failure, BOOT_FAILURE_SIZE, "no disk with serial %s", serial);
		return r;
	}
	(void)snprintf(ret_path, PATH_MAX, "/dev/%s", name);
	calm_disk(name);
	return 0;
}

static int bring_up_loopback(char failure[BOOT_FAILURE_SIZE])
{
	static const struct {
		const char *name;
		const char *address;
		const char *mask;
	} addresses[] = {
		{ "lo", "127.0.0.1", "255.0.0.0" },
		{ "lo:0", RUNTIME_API_ADDRESS, "255.255.255.255" },
	};
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	for (size_t i = 0; fd >= 0 && i < ARRAY_SIZE(addresses); i++) {
		struct ifreq request = { 0 };
		struct sockaddr_in *address = (struct sockaddr_in *)&request.ifr_addr;

		(void)snprintf(request.ifr_name, IFNAMSIZ, "%s", addresses[i].name);
		address->sin_family = AF_INET;
		address->sin_addr.s_addr = inet_addr(addresses[i].address);
		if (ioctl(fd, SIOCSIFADDR, &request) < 0)
			goto failed;
		address->sin_addr.s_addr = inet_addr(addresses[i].mask);
		if (ioctl(fd, SIOCSIFNETMASK, &request) < 0)
			goto failed;
		request.ifr_flags = IFF_UP | IFF_RUNNING | IFF_LOOPBACK;
		if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
			goto failed;
	}
	if (fd >= 0)
		return 0;
failed:;
	int r = -errno;
	(void)snprintf(failure, BOOT_FAILURE_SIZE, "loopback: %s", strerror(-r));
	return r;
}

static int make_devices(char failure[BOOT_FAILURE_SIZE])
{
	static const struct {
		const char *path;
		unsigned major;
		unsigned minor;
	} nodes[] = {
		{ BOOT_ROOT "/dev/null", 1, 3 },    { BOOT_ROOT "/dev/zero", 1, 5 },
		{ BOOT_ROOT "/dev/full", 1, 7 },    { BOOT_ROOT "/dev/random", 1, 8 },
		{ BOOT_ROOT "/dev/urandom", 1, 9 },
	};
	static const struct {
		const char *target;
		const char *path;
	} links[] = {
		{ "/proc/self/fd", BOOT_ROOT "/dev/fd" },
		{ "/proc/self/fd/0", BOOT_ROOT "/dev/stdin" },
		{ "/proc/self/fd/1", BOOT_ROOT "/dev/stdout" },
		{ "/proc/self/fd/2", BOOT_ROOT "/dev/stderr" },
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(nodes) && r == 0; i++) {
		r = mknod(nodes[i].path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor));
		if (r == 0)
			r = chmod(nodes[i].path, 0666);
	}
	for (size_t i = 0; i < ARRAY_SIZE(links) && r == 0; i++)
		r = symlink(links[i].target, links[i].path);
	if (r == 0)
		return 0;
	r = -errno;
	(void)snprintf(failure, BOOT_FAILURE_SIZE, "device nodes: %s", strerror(-r));
	return r;
}

static int mount_root(char failure[BOOT_FAILURE_SIZE])
{
	char disk[PATH_MAX];
	int r = find_disk("root", disk, failure);

	if (r < 0)
		return r;
	const struct mount_step root[] = {
		{ disk, BOOT_ROOT, "erofs", MS_RDONLY | MS_NODEV | MS_NOSUID, NULL },
		{ "dev", BOOT_ROOT "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=64k" },
		{ "proc", BOOT_ROOT "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  "hidepid=2" },
		{ "sys", BOOT_ROOT "/sys", "sysfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  NULL },
	};
	r = mount_all(root, ARRAY_SIZE(root), failure);
	if (r < 0)
		return r;
	r = make_devices(failure);
	if (r < 0)
		return r;
	const struct mount_step seal = { NULL, BOOT_ROOT "/dev", NULL,
					 MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NOEXEC, NULL };
	return mount_one(&seal, failure);
}

static int find_devices(char failure[BOOT_FAILURE_SIZE])
{
	int r = find_disk("code", devices.code, failure);

	if (r == 0)
		r = find_disk("tmp", devices.scratch, failure);
	if (r < 0)
		return r;
	devices.random_fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	if (devices.random_fd >= 0)
		return 0;
	r = -errno;
	(void)snprintf(failure, BOOT_FAILURE_SIZE, "/dev/urandom: %s", strerror(-r));
	return r;
}

int boot_prepare(char failure[BOOT_FAILURE_SIZE])
{
	static const struct mount_step own[] = {
		{ "proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL },
		{ "sys", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL },
		{ "dev", "/dev", "devtmpfs", MS_NOSUID | MS_NOEXEC, NULL },
		{ "cgroup", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL },
	};
	int r = mount_all(own, ARRAY_SIZE(own), failure);

	if (r == 0)
		r = load_modules(failure);
	if (r == 0)
		r = bring_up_loopback(failure);
	if (r == 0)
		r = mount_root(failure);
	if (r == 0)
		r = package_prepare(failure);
	if (r == 0)
		r = find_devices(failure);
	return r;
}

int boot_open_port(int *ret_fd)
{
	char name[NAME_MAX + 1], path[PATH_MAX];
	int r = find_device("/sys/class/virtio-ports", "name", BOOT_PORT_NAME, name);

	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "/dev/%s", name);
	int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

int boot_mount_scratch(char failure[BOOT_FAILURE_SIZE])
{
	/* Nobody but this guest writes to the disk, and it comes zeroed: no thread has to. */
	const struct mount_step step = { devices.scratch, BOOT_ROOT "/tmp", "ext4",
					 MS_NODEV | MS_NOSUID | MS_NOATIME, "noinit_itable" };
	struct stat st;
	int r = mount_one(&step, failure);

	if (r < 0)
		return r;
	if (stat(BOOT_ROOT "/tmp", &st) == 0 && st.st_uid == 0 && st.st_gid == 0 &&
	    (st.st_mode & 07777) == 01777)
		return 0;
	(void)rmdir(BOOT_ROOT "/tmp/lost+found");
	if (chown(BOOT_ROOT "/tmp", 0, 0) < 0 || chmod(BOOT_ROOT "/tmp", 01777) < 0) {
		r = -errno;
		(void)snprintf(failure, BOOT_FAILURE_SIZE, "modes of /tmp: %s", strerror(-r));
	}
	return r;
}

int boot_grow_scratch(uint32_t size_mb, char failure[BOOT_FAILURE_SIZE])
{
	_cleanup_close_ int fd = open(BOOT_ROOT "/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statfs st;
	int r = 0;

	if (fd < 0 || fstatfs(fd, &st) < 0) {
		r = -errno;
	} else {
		uint64_t blocks = ((uint64_t)size_mb << 20) / (uint64_t)st.f_bsize;
		if (ioctl(fd, EXT4_RESIZE, &blocks) < 0)
			r = -errno;
	}
	if (r < 0)
		(void)snprintf(failure, BOOT_FAILURE_SIZE, "grow /tmp to %u MiB: %s", size_mb,
			       strerror(-r));
	return r;
}

int boot_mount_code(char failure[BOOT_FAILURE_SIZE])
{
	const struct mount_step step = { devices.code, BOOT_ROOT "/var/task", "erofs",
					 MS_RDONLY | MS_NODEV | MS_NOSUID, NULL };

	return mount_one(&step, failure);
}

/* Binds have the flags of the mount that they are of: read-only, too. */
int boot_mount_layered_code(char failure[BOOT_FAILURE_SIZE])
{
	const struct mount_step steps[] = {
		{ devices.code, CODE_STAGE, "erofs", MS_RDONLY | MS_NODEV | MS_NOSUID, NULL },
		{ CODE_STAGE "/task", BOOT_ROOT "/var/task", NULL, MS_BIND, NULL },
		{ CODE_STAGE "/opt", BOOT_ROOT "/opt", NULL, MS_BIND, NULL },
	};

	return mount_all(steps, ARRAY_SIZE(steps), failure);
}

int boot_add_entropy(struct slice entropy)
{
	_Alignas(struct rand_pool_info)
		uint8_t space[sizeof(struct rand_pool_info) + ENTROPY_BYTES] = { 0 };
	struct rand_pool_info *pool = (struct rand_pool_info *)space;

	if (entropy.len < ENTROPY_BYTES)
		return -EINVAL;
	pool->entropy_count = ENTROPY_BYTES * 8;
	pool->buf_size = ENTROPY_BYTES;
	memcpy(space + sizeof(*pool), entropy.data, ENTROPY_BYTES);
	int r = ioctl(devices.random_fd, RNDADDENTROPY, pool) < 0 ||
				ioctl(devices.random_fd, RNDRESEEDCRNG) < 0
			? -errno
			: 0;
	explicit_bzero(space, sizeof(space));
	return r;
}

int boot_set_clock(int64_t realtime_us)
{
	int64_t off = realtime_us - clock_realtime_us();

	if (realtime_us <= 0 || (off > -CLOCK_SLACK_US && off < CLOCK_SLACK_US))
		return 0;
	struct timespec now = {
		.tv_sec = (time_t)(realtime_us / USEC_PER_SEC),
		.tv_nsec = (long)(realtime_us % USEC_PER_SEC) * 1000,
	};
	return clock_settime(CLOCK_REALTIME, &now) < 0 ? -errno : 0;
}

void boot_power_off(void)
{
	sync();
	(void)reboot(RB_POWER_OFF);
	for (;;)
		(void)pause();
}
