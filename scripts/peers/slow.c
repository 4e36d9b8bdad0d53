/* A folder of one file that answers each read after a delay, as many reads at once
   as are asked for: storage that is bound by latency, as over a network.

       slow FOLDER FILE MICROSECONDS

   Shows FILE as FOLDER/file until it is unmounted. Needs libfuse 3.12 or later. */
#define FUSE_USE_VERSION 312
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The most that FUSE takes at once, and more requests than any bed is asked for. */
#define LONGEST_REQUEST (1 << 20)
#define REQUESTS 512
#define THREADS "128"

static const char name[] = "/file";
static int shown;
static useconds_t delay;

static void *begin(struct fuse_conn_info *connection, struct fuse_config *config)
{
	connection->max_read = LONGEST_REQUEST;
	connection->max_readahead = 8 * LONGEST_REQUEST;
	/* Left at FUSE's default of 12, FUSE itself would be the limit. */
	connection->max_background = REQUESTS;
	connection->congestion_threshold = REQUESTS;
	config->kernel_cache = 1;
	return NULL;
}

static int attributes(const char *path, struct stat *about, struct fuse_file_info *open_file)
{
	struct stat source;

	(void)open_file;
	memset(about, 0, sizeof *about);
	if (strcmp(path, "/") == 0) {
		about->st_mode = S_IFDIR | 0755;
		return 0;
	}
	if (strcmp(path, name) != 0)
		return -ENOENT;
	if (fstat(shown, &source) < 0)
		return -errno;
	about->st_mode = S_IFREG | 0444;
	about->st_nlink = 1;
	about->st_size = source.st_size;
	about->st_blocks = source.st_blocks;
	about->st_mtim = source.st_mtim;
	return 0;
}

static int list(const char *path, void *to, fuse_fill_dir_t add, off_t at,
		struct fuse_file_info *open_file, enum fuse_readdir_flags flags)
{
	(void)path, (void)at, (void)open_file, (void)flags;
	return add(to, name + 1, NULL, 0, 0);
}

static int open_file(const char *path, struct fuse_file_info *file)
{
	(void)file;
	return strcmp(path, name) == 0 ? 0 : -ENOENT;
}

static int read_late(const char *path, char *to, size_t length, off_t at,
		     struct fuse_file_info *file)
{
	(void)path, (void)file;
	usleep(delay);
	ssize_t count = pread(shown, to, length, at);
	return count < 0 ? -errno : (int)count;
}

static const struct fuse_operations operations = {
	.init = begin, .getattr = attributes, .readdir = list, .open = open_file, .read = read_late,
};

int main(int count, char **words)
{
	if (count != 4)
		return 2;
	shown = open(words[2], O_RDONLY);
	if (shown < 0)
		return 1;
	delay = strtoul(words[3], NULL, 10);
	char options[] = "ro,max_read=1048576,clone_fd,max_threads=" THREADS
			 ",max_idle_threads=" THREADS;
	char *own[] = { words[0], "-f", "-o", options, words[1], NULL };
	return fuse_main(5, own, &operations, NULL);
}
