/* Shows a folder a second time through FUSE, with the oddities that it is told.
 *
 *   gcc -o oddfs oddfs.c $(pkg-config --cflags --libs fuse3)
 *   oddfs FOLDER MOUNTPOINT [SWITCH...]
 *
 * It stays in the foreground, prints "mounted" when the folder is there, and
 * takes it down when standard input ends. Without a switch it is an ordinary
 * file system. A switch may be given more than once; E is the name of an error.
 *
 * What is claimed of regular files:
 *   ino=path        inode numbers are made of the path: a renamed file has another
 *                   one, while who has it open sees the old one
 *   ino=lookup      a new inode number at every lookup of the name
 *   ino=mount       new inode numbers at every mount
 *   blocks=N        st_blocks is N
 *   size=N          st_size is N; size=+N and size=-N: N more or fewer than there are.
 *                   Reads go past the page cache then, and bring what there is
 *   direct          reads and writes go past the page cache
 *   times=now       modification and change time are the time of the question
 *   seek=holes      SEEK_DATA and SEEK_HOLE say that there is nothing but one hole
 *   seek=end        the same by an answer: the next data is at the end of the file
 *   seek=here       asked at the end of the file, both say "here"
 *   seek=hole:A:B   the bytes from A to B are a hole, all others are data
 *   statfs=zero     no blocks and no free ones
 *
 * What is not done:
 *   refuse=OP:E     the operation OP fails with E, one of the list below
 *   refuse=OP:E:N   the same from the Nth call on, counted from 0
 *   room=N          no more than N bytes are written; then ENOSPC
 *   grow=zeros      a file that grows is filled with zeros (FAT)
 *   grow=N          no file grows beyond N bytes; EFBIG
 *   write=append    writes are taken at the end of a file only; ENOTSUP
 *   delay=OP:MS     OP takes that long */
#define FUSE_USE_VERSION 34
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

/* What can be refused or delayed. */
enum op {
    CHMOD, CHOWN, UTIMES, TRUNCATE, FALLOCATE, STATFS, RENAME, RENAME_FLAGS, LINK, UNLINK,
    SYMLINK, MKDIR, RMDIR, CREATE, OPEN, OPENDIR, READDIR, READ, WRITE, FSYNC, FSYNCDIR,
    FLUSH, LSEEK, FLOCK, GETXATTR, SETXATTR, LISTXATTR, LOOKUP, GETATTR, OPS
};
static const char *const op_names[OPS] = {
    "chmod", "chown", "utimes", "truncate", "fallocate", "statfs", "rename", "rename-flags", "link", "unlink",
    "symlink", "mkdir", "rmdir", "create", "open", "opendir", "readdir", "read", "write", "fsync", "fsyncdir",
    "flush", "lseek", "flock", "getxattr", "setxattr", "listxattr", "lookup", "getattr"
};

static struct { int error; long from, calls, delay_ms; } rules[OPS];

static enum { INO_REAL, INO_PATH, INO_LOOKUP, INO_MOUNT } ino_rule;
static enum { SEEK_TRUE, SEEK_HOLES, SEEK_TO_END, SEEK_HERE, SEEK_ONE_HOLE } seek_rule;
static enum { SIZE_TRUE, SIZE_IS, SIZE_OFF_BY } size_rule;
static long long size_claim, hole_start, hole_end;
static long long blocks_claim = -1, room_left = -1, grow_limit = -1;
static bool direct, times_are_now, statfs_is_zero, grow_with_zeros, append_only;

/* Something that the kernel holds a number for: its address. */
struct node {
    struct node *next;
    int fd; /* O_PATH */
    dev_t device;
    ino_t real;
    uint64_t shown, lookups;
    char path[];
};

static struct node *nodes, *root;
static uint64_t salt, next_number = 1 << 20;
static const char *mountpoint;

static struct node *node_of(fuse_ino_t number)
{
    return number == FUSE_ROOT_ID ? root : (struct node *)(uintptr_t)number;
}

/* A path by which an O_PATH descriptor can be opened and changed. */
struct proc_path { char text[40]; };
static struct proc_path proc_path(const struct node *node)
{
    struct proc_path path;
    snprintf(path.text, sizeof path.text, "/proc/self/fd/%d", node->fd);
    return path;
}

/* The error by which this call of `op` is refused, or 0. */
static int refused(enum op op)
{
    long ms = rules[op].delay_ms;
    if (ms) {
        struct timespec time = {ms / 1000, ms % 1000 * 1000000};
        nanosleep(&time, NULL);
    }
    return rules[op].calls++ >= rules[op].from ? rules[op].error : 0;
}

/* Answers with an error, or that all is well. */
static void reply(fuse_req_t request, int result) { fuse_reply_err(request, result < 0 ? errno : 0); }

/* Answers a request that is refused; whether it was. */
static bool refuse(fuse_req_t request, enum op op)
{
    int error = refused(op);
    if (error)
        fuse_reply_err(request, error);
    return error != 0;
}

/* ---- what is claimed ---- */

static uint64_t hash(uint64_t start, const char *text)
{
    uint64_t value = start ^ 0xcbf29ce484222325; /* FNV-1a */
    for (; *text; text++)
        value = (value ^ (unsigned char)*text) * 0x100000001b3;
    return value >> 16 | 1;
}

static uint64_t shown_number(const struct node *node, bool is_file)
{
    char number[24];
    snprintf(number, sizeof number, "%llu", (unsigned long long)node->real);
    switch (is_file ? ino_rule : INO_REAL) {
    case INO_PATH: return hash(0, node->path);
    case INO_LOOKUP: return next_number++;
    case INO_MOUNT: return hash(salt, number);
    default: return node->real;
    }
}

static off_t claimed_size(off_t real)
{
    off_t size = size_rule == SIZE_IS ? size_claim : size_rule == SIZE_OFF_BY ? real + size_claim : real;
    return size < 0 ? 0 : size;
}

static int claimed_facts(const struct node *node, struct stat *stat)
{
    if (fstatat(node->fd, "", stat, AT_EMPTY_PATH))
        return errno;
    stat->st_ino = node->shown;
    if (!S_ISREG(stat->st_mode))
        return 0;
    stat->st_size = claimed_size(stat->st_size);
    if (size_rule != SIZE_TRUE)
        stat->st_blocks = (stat->st_size + 511) / 512;
    if (blocks_claim >= 0)
        stat->st_blocks = blocks_claim;
    if (times_are_now) {
        clock_gettime(CLOCK_REALTIME, &stat->st_mtim);
        stat->st_ctim = stat->st_mtim;
    }
    return 0;
}

/* ---- names ---- */

static struct node *new_node(int fd, const struct stat *stat, const char *path)
{
    struct node *node = calloc(1, sizeof *node + strlen(path) + 1);
    strcpy(node->path, path);
    node->fd = fd;
    node->device = stat->st_dev;
    node->real = stat->st_ino;
    node->shown = shown_number(node, S_ISREG(stat->st_mode));
    node->next = nodes;
    return nodes = node;
}

static struct node *known_node(const struct stat *stat, const char *path)
{
    bool is_file = S_ISREG(stat->st_mode);
    if (is_file && ino_rule == INO_LOOKUP)
        return NULL;
    for (struct node *node = nodes; node; node = node->next)
        if (node->device == stat->st_dev && node->real == stat->st_ino &&
            (!is_file || ino_rule != INO_PATH || !strcmp(node->path, path)))
            return node;
    return NULL;
}

static int find(const struct node *parent, const char *name, struct fuse_entry_param *entry)
{
    struct stat stat;
    char *path;
    *entry = (struct fuse_entry_param){0}; /* Nothing is remembered: timeouts are 0. */
    int fd = openat(parent->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno;
    if (fstatat(fd, "", &stat, AT_EMPTY_PATH) || asprintf(&path, "%s/%s", parent->path, name) < 0) {
        int error = errno;
        close(fd);
        return error;
    }
    struct node *node = known_node(&stat, path);
    if (node)
        close(fd);
    else
        node = new_node(fd, &stat, path);
    free(path);
    node->lookups++;
    entry->ino = (uintptr_t)node;
    return claimed_facts(node, &entry->attr);
}

static void reply_entry(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param entry;
    int error = find(node_of(parent), name, &entry);
    if (error)
        fuse_reply_err(request, error);
    else
        fuse_reply_entry(request, &entry);
}

/* Answers after a name was made, or was not. What is new belongs to who asked. */
static void reply_made(fuse_req_t request, fuse_ino_t parent, const char *name, int result, bool is_new)
{
    const struct fuse_ctx *user = fuse_req_ctx(request);
    if (result == 0 && is_new)
        result = fchownat(node_of(parent)->fd, name, user->uid, user->gid, AT_SYMLINK_NOFOLLOW);
    if (result < 0)
        fuse_reply_err(request, errno);
    else
        reply_entry(request, parent, name);
}

static void do_lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    if (!refuse(request, LOOKUP))
        reply_entry(request, parent, name);
}

static void do_forget(fuse_req_t request, fuse_ino_t number, uint64_t lookups)
{
    struct node *node = node_of(number), **link = &nodes;
    if (node != root && (node->lookups -= lookups) == 0) {
        while (*link != node)
            link = &(*link)->next;
        *link = node->next;
        close(node->fd);
        free(node);
    }
    fuse_reply_none(request);
}

static void do_readlink(fuse_req_t request, fuse_ino_t number)
{
    char target[4097];
    ssize_t length = readlinkat(node_of(number)->fd, "", target, sizeof target - 1);
    if (length < 0) {
        fuse_reply_err(request, errno);
        return;
    }
    target[length] = 0;
    fuse_reply_readlink(request, target);
}

static void do_mkdir(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode)
{
    if (!refuse(request, MKDIR))
        reply_made(request, parent, name, mkdirat(node_of(parent)->fd, name, mode), true);
}

static void do_mknod(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
{
    if (!refuse(request, CREATE))
        reply_made(request, parent, name, mknodat(node_of(parent)->fd, name, mode, device), true);
}

static void do_symlink(fuse_req_t request, const char *target, fuse_ino_t parent, const char *name)
{
    if (!refuse(request, SYMLINK))
        reply_made(request, parent, name, symlinkat(target, node_of(parent)->fd, name), true);
}

static void do_link(fuse_req_t request, fuse_ino_t number, fuse_ino_t parent, const char *name)
{
    if (refuse(request, LINK))
        return;
    struct proc_path from = proc_path(node_of(number));
    int made = linkat(AT_FDCWD, from.text, node_of(parent)->fd, name, AT_SYMLINK_FOLLOW);
    reply_made(request, parent, name, made, false);
}

static void do_unlink(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    if (!refuse(request, UNLINK))
        reply(request, unlinkat(node_of(parent)->fd, name, 0));
}

static void do_rmdir(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    if (!refuse(request, RMDIR))
        reply(request, unlinkat(node_of(parent)->fd, name, AT_REMOVEDIR));
}

static void do_rename(fuse_req_t request, fuse_ino_t from, const char *old, fuse_ino_t to, const char *new, unsigned flags)
{
    if (refuse(request, RENAME) || (flags && refuse(request, RENAME_FLAGS)))
        return;
    reply(request, renameat2(node_of(from)->fd, old, node_of(to)->fd, new, flags));
}

/* ---- attributes ---- */

static void reply_facts(fuse_req_t request, fuse_ino_t number)
{
    struct stat stat;
    int error = claimed_facts(node_of(number), &stat);
    if (error)
        fuse_reply_err(request, error);
    else
        fuse_reply_attr(request, &stat, 0);
}

static void do_getattr(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *open)
{
    (void)open;
    if (!refuse(request, GETATTR))
        reply_facts(request, number);
}

/* Fills `fd` with zeros up to `size`. */
static int fill(int fd, off_t size)
{
    static const char zeros[1 << 16];
    struct stat stat;
    if (fstat(fd, &stat))
        return -1;
    for (off_t at = stat.st_size; at < size;) {
        size_t piece = size - at < (off_t)sizeof zeros ? (size_t)(size - at) : sizeof zeros;
        ssize_t written = pwrite(fd, zeros, piece, at);
        if (written < 0)
            return -1;
        at += written;
    }
    return 0;
}

static int set_size(const struct node *node, struct fuse_file_info *opened, off_t size)
{
    struct proc_path path = proc_path(node);
    if (grow_limit >= 0 && size > grow_limit) {
        errno = EFBIG;
        return -1;
    }
    int fd = opened ? (int)opened->fh : open(path.text, O_WRONLY | O_CLOEXEC);
    int result = fd < 0 || (grow_with_zeros && fill(fd, size)) ? -1 : ftruncate(fd, size);
    int error = errno;
    if (!opened && fd >= 0)
        close(fd);
    errno = error;
    return result;
}

static int set_owner(const struct node *node, const struct stat *wanted, int what)
{
    uid_t user = what & FUSE_SET_ATTR_UID ? wanted->st_uid : (uid_t)-1;
    gid_t group = what & FUSE_SET_ATTR_GID ? wanted->st_gid : (gid_t)-1;
    return fchownat(node->fd, "", user, group, AT_EMPTY_PATH);
}

static int set_times(const struct node *node, const struct stat *wanted, int what)
{
    struct timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
    if (what & FUSE_SET_ATTR_ATIME)
        times[0] = wanted->st_atim;
    if (what & FUSE_SET_ATTR_ATIME_NOW)
        times[0].tv_nsec = UTIME_NOW;
    if (what & FUSE_SET_ATTR_MTIME)
        times[1] = wanted->st_mtim;
    if (what & FUSE_SET_ATTR_MTIME_NOW)
        times[1].tv_nsec = UTIME_NOW;
    return utimensat(AT_FDCWD, proc_path(node).text, times, 0);
}

static void do_setattr(fuse_req_t request, fuse_ino_t number, struct stat *wanted, int what, struct fuse_file_info *opened)
{
    const struct node *node = node_of(number);
    const int owner = FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID, times = FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME;
    int result = 0;
    if ((what & FUSE_SET_ATTR_MODE && refuse(request, CHMOD)) || (what & owner && refuse(request, CHOWN)) ||
        (what & FUSE_SET_ATTR_SIZE && refuse(request, TRUNCATE)) || (what & times && refuse(request, UTIMES)))
        return;
    if (what & FUSE_SET_ATTR_MODE)
        result = chmod(proc_path(node).text, wanted->st_mode);
    if (result == 0 && what & owner)
        result = set_owner(node, wanted, what);
    if (result == 0 && what & FUSE_SET_ATTR_SIZE)
        result = set_size(node, opened, wanted->st_size);
    if (result == 0 && what & times)
        result = set_times(node, wanted, what);
    if (result < 0)
        fuse_reply_err(request, errno);
    else
        reply_facts(request, number);
}

static void do_statfs(fuse_req_t request, fuse_ino_t number)
{
    struct statvfs space;
    if (refuse(request, STATFS))
        return;
    if (fstatvfs(node_of(number)->fd, &space)) {
        fuse_reply_err(request, errno);
        return;
    }
    if (statfs_is_zero)
        space = (struct statvfs){.f_bsize = space.f_bsize, .f_frsize = space.f_frsize, .f_namemax = 255};
    fuse_reply_statfs(request, &space);
}

/* Room for the largest set of attributes; requests come one after another. */
static char attributes[1 << 16];

static void reply_attributes(fuse_req_t request, ssize_t length, size_t room)
{
    if (length < 0)
        fuse_reply_err(request, errno);
    else if (room == 0)
        fuse_reply_xattr(request, length);
    else if ((size_t)length > room)
        fuse_reply_err(request, ERANGE);
    else
        fuse_reply_buf(request, attributes, length);
}

static void do_getxattr(fuse_req_t request, fuse_ino_t number, const char *name, size_t room)
{
    if (!refuse(request, GETXATTR))
        reply_attributes(request, getxattr(proc_path(node_of(number)).text, name, attributes, sizeof attributes), room);
}

static void do_listxattr(fuse_req_t request, fuse_ino_t number, size_t room)
{
    if (!refuse(request, LISTXATTR))
        reply_attributes(request, listxattr(proc_path(node_of(number)).text, attributes, sizeof attributes), room);
}

static void do_setxattr(fuse_req_t request, fuse_ino_t number, const char *name, const char *value, size_t length, int flags)
{
    if (!refuse(request, SETXATTR))
        reply(request, setxattr(proc_path(node_of(number)).text, name, value, length, flags));
}

/* ---- open files ---- */

static void set_open(struct fuse_file_info *opened, int fd)
{
    opened->fh = fd;
    opened->direct_io = direct || size_rule != SIZE_TRUE;
}

/* Flags for the file below: the page cache is passed above, if at all. */
static int flags_below(const struct fuse_file_info *opened)
{
    return (opened->flags & ~(O_DIRECT | O_NOFOLLOW | O_APPEND)) | O_CLOEXEC;
}

static void do_open(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *opened)
{
    if (refuse(request, OPEN))
        return;
    int fd = open(proc_path(node_of(number)).text, flags_below(opened));
    if (fd < 0) {
        fuse_reply_err(request, errno);
        return;
    }
    set_open(opened, fd);
    fuse_reply_open(request, opened);
}

static void do_create(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *opened)
{
    struct fuse_entry_param entry;
    const struct fuse_ctx *user = fuse_req_ctx(request);
    if (refuse(request, CREATE))
        return;
    int fd = openat(node_of(parent)->fd, name, flags_below(opened) | O_CREAT, mode);
    int error = fd < 0 || fchown(fd, user->uid, user->gid) ? errno : find(node_of(parent), name, &entry);
    if (error) {
        if (fd >= 0)
            close(fd);
        fuse_reply_err(request, error);
        return;
    }
    set_open(opened, fd);
    fuse_reply_create(request, &entry, opened);
}

static void do_release(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *opened)
{
    (void)number;
    reply(request, close((int)opened->fh));
}

static void do_flush(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *opened)
{
    (void)number, (void)opened;
    fuse_reply_err(request, refused(FLUSH));
}

static void do_fsync(fuse_req_t request, fuse_ino_t number, int data_only, struct fuse_file_info *opened)
{
    (void)number;
    if (!refuse(request, FSYNC))
        reply(request, data_only ? fdatasync((int)opened->fh) : fsync((int)opened->fh));
}

static void do_read(fuse_req_t request, fuse_ino_t number, size_t length, off_t at, struct fuse_file_info *opened)
{
    (void)number;
    if (refuse(request, READ))
        return;
    char *bytes = malloc(length);
    ssize_t count = bytes ? pread((int)opened->fh, bytes, length, at) : -1;
    if (count < 0)
        fuse_reply_err(request, errno);
    else
        fuse_reply_buf(request, bytes, count);
    free(bytes);
}

/* Why `length` bytes are not written at `at`, or 0. */
static int not_written(int fd, size_t length, off_t at)
{
    struct stat stat;
    if (fstat(fd, &stat))
        return errno;
    if (room_left == 0)
        return ENOSPC;
    if (append_only && at != stat.st_size)
        return ENOTSUP;
    if (grow_limit >= 0 && at + (off_t)length > grow_limit)
        return EFBIG;
    return grow_with_zeros && fill(fd, at) ? errno : 0;
}

static void do_write(fuse_req_t request, fuse_ino_t number, const char *bytes, size_t length, off_t at, struct fuse_file_info *opened)
{
    int fd = (int)opened->fh;
    (void)number;
    if (refuse(request, WRITE))
        return;
    int error = not_written(fd, length, at);
    if (room_left >= 0 && (long long)length > room_left)
        length = room_left;
    ssize_t count = error ? 0 : pwrite(fd, bytes, length, at);
    if (error || count < 0) {
        fuse_reply_err(request, error ? error : errno);
        return;
    }
    if (room_left >= 0)
        room_left -= count;
    fuse_reply_write(request, count);
}

static void do_fallocate(fuse_req_t request, fuse_ino_t number, int mode, off_t at, off_t length, struct fuse_file_info *opened)
{
    (void)number;
    if (!refuse(request, FALLOCATE))
        reply(request, fallocate((int)opened->fh, mode, at, length));
}

/* Where the next data (or hole) is by the rule, asked at `at`; -1 and errno as of lseek(2). */
static off_t claimed_seek(int fd, off_t at, int whence)
{
    struct stat stat;
    if (fstat(fd, &stat))
        return -1;
    off_t size = claimed_size(stat.st_size);
    bool in_hole = at >= hole_start && at < hole_end;
    if (seek_rule == SEEK_TRUE || (seek_rule == SEEK_HERE && at < size))
        return lseek(fd, at, whence);
    if (seek_rule == SEEK_HERE)
        return at;
    if (seek_rule == SEEK_TO_END)
        return size;
    if (at < size && whence == SEEK_HOLE)
        return seek_rule == SEEK_HOLES || in_hole ? at : at < hole_start ? hole_start : size;
    if (at < size && seek_rule == SEEK_ONE_HOLE && (!in_hole || hole_end < size))
        return in_hole ? hole_end : at;
    errno = ENXIO;
    return -1;
}

static void do_lseek(fuse_req_t request, fuse_ino_t number, off_t at, int whence, struct fuse_file_info *opened)
{
    (void)number;
    if (refuse(request, LSEEK))
        return;
    off_t found = claimed_seek((int)opened->fh, at, whence);
    if (found < 0)
        fuse_reply_err(request, errno);
    else
        fuse_reply_lseek(request, found);
}

static void do_flock(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *opened, int operation)
{
    (void)number;
    if (!refuse(request, FLOCK))
        reply(request, flock((int)opened->fh, operation));
}

/* ---- folders ---- */

static void do_opendir(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *opened)
{
    if (refuse(request, OPENDIR))
        return;
    int fd = openat(node_of(number)->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        fuse_reply_err(request, errno);
        return;
    }
    opened->fh = (uintptr_t)folder;
    fuse_reply_open(request, opened);
}

static void do_readdir(fuse_req_t request, fuse_ino_t number, size_t room, off_t at, struct fuse_file_info *opened)
{
    DIR *folder = (DIR *)(uintptr_t)opened->fh;
    (void)number;
    if (refuse(request, READDIR))
        return;
    char *entries = malloc(room);
    size_t used = 0;
    seekdir(folder, at);
    for (struct dirent *entry; (entry = readdir(folder));) {
        struct stat stat = {.st_ino = entry->d_ino, .st_mode = (mode_t)DTTOIF(entry->d_type)};
        size_t length = fuse_add_direntry(request, entries + used, room - used, entry->d_name, &stat, telldir(folder));
        if (length > room - used)
            break;
        used += length;
    }
    fuse_reply_buf(request, entries, used);
    free(entries);
}

static void do_releasedir(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *opened)
{
    (void)number;
    reply(request, closedir((DIR *)(uintptr_t)opened->fh));
}

static void do_fsyncdir(fuse_req_t request, fuse_ino_t number, int data_only, struct fuse_file_info *opened)
{
    (void)number, (void)data_only, (void)opened;
    fuse_reply_err(request, refused(FSYNCDIR));
}

/* ---- switches ---- */

static void bad_switch(const char *word)
{
    fprintf(stderr, "oddfs: what is %s?\n", word);
    exit(2);
}

static int error_named(const char *name)
{
    for (int error = 1; error < 256; error++)
        if (strerrorname_np(error) && !strcmp(strerrorname_np(error), name))
            return error;
    return 0;
}

/* OP:REST, of `refuse` and of `delay`. */
static bool set_rule(const char *text, bool is_delay)
{
    char op[32] = "", error[32] = "";
    long number = 0;
    int fields = is_delay ? sscanf(text, "%31[^:]:%ld", op, &number) : sscanf(text, "%31[^:]:%31[^:]:%ld", op, error, &number);
    for (int i = 0; fields >= 2 && i < OPS; i++) {
        if (strcmp(op_names[i], op))
            continue;
        if (is_delay)
            rules[i].delay_ms = number;
        else
            rules[i].error = error_named(error), rules[i].from = number;
        return is_delay || rules[i].error;
    }
    return false;
}

static bool set_seek(const char *value)
{
    if (!strcmp(value, "holes"))
        seek_rule = SEEK_HOLES;
    else if (!strcmp(value, "end"))
        seek_rule = SEEK_TO_END;
    else if (!strcmp(value, "here"))
        seek_rule = SEEK_HERE;
    else if (sscanf(value, "hole:%lld:%lld", &hole_start, &hole_end) == 2)
        seek_rule = SEEK_ONE_HOLE;
    else
        return false;
    return true;
}

static bool set_ino(const char *value)
{
    static const char *const names[] = {[INO_PATH] = "path", [INO_LOOKUP] = "lookup", [INO_MOUNT] = "mount"};
    for (int i = INO_PATH; i <= INO_MOUNT; i++)
        if (!strcmp(names[i], value))
            ino_rule = i;
    return ino_rule != INO_REAL;
}

static bool set_size_claim(const char *value)
{
    size_rule = *value == '+' || *value == '-' ? SIZE_OFF_BY : SIZE_IS;
    return sscanf(value, "%lld", &size_claim) == 1;
}

static bool set_switch(const char *word)
{
    const char *equals = strchr(word, '='), *value = equals ? equals + 1 : "";
    size_t length = equals ? (size_t)(equals - word) : strlen(word);
    bool number = sscanf(value, "%*d") != EOF;
#define NAMED(name) (length == strlen(name) && !strncmp(word, name, length))
    if (NAMED("refuse") || NAMED("delay"))
        return set_rule(value, *word == 'd');
    if (NAMED("ino"))
        return set_ino(value);
    if (NAMED("seek"))
        return set_seek(value);
    if (NAMED("size"))
        return set_size_claim(value);
    if (NAMED("blocks"))
        return sscanf(value, "%lld", &blocks_claim) == 1;
    if (NAMED("room"))
        return sscanf(value, "%lld", &room_left) == 1;
    if (NAMED("grow") && strcmp(value, "zeros"))
        return number && sscanf(value, "%lld", &grow_limit) == 1;
    grow_with_zeros |= NAMED("grow");
    direct |= NAMED("direct");
    times_are_now |= NAMED("times") && !strcmp(value, "now");
    statfs_is_zero |= NAMED("statfs") && !strcmp(value, "zero");
    append_only |= NAMED("write") && !strcmp(value, "append");
    return NAMED("grow") || NAMED("direct") || NAMED("times") || NAMED("statfs") || NAMED("write");
#undef NAMED
}

/* Ends everything when who started this has gone, or says so by closing the pipe:
 * requests under way get an error then, and nobody hangs. */
static void *wait_for_end(void *nothing)
{
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0)
        continue;
    umount2(mountpoint, MNT_DETACH);
    _exit(0);
    return nothing;
}

static const struct fuse_lowlevel_ops operations = {
    .lookup = do_lookup, .forget = do_forget, .getattr = do_getattr, .setattr = do_setattr, .readlink = do_readlink,
    .mknod = do_mknod, .mkdir = do_mkdir, .symlink = do_symlink, .link = do_link, .unlink = do_unlink, .rmdir = do_rmdir,
    .rename = do_rename, .open = do_open, .create = do_create, .read = do_read, .write = do_write, .flush = do_flush,
    .release = do_release, .fsync = do_fsync, .opendir = do_opendir, .readdir = do_readdir, .releasedir = do_releasedir,
    .fsyncdir = do_fsyncdir, .statfs = do_statfs, .getxattr = do_getxattr, .setxattr = do_setxattr,
    .listxattr = do_listxattr, .fallocate = do_fallocate, .lseek = do_lseek,
};

int main(int count, char **words)
{
    struct fuse_lowlevel_ops ops = operations;
    struct stat stat;
    struct timespec now;
    pthread_t waiting;
    if (count < 3)
        bad_switch("this without a FOLDER and a MOUNTPOINT");
    for (int i = 3; i < count; i++)
        if (!set_switch(words[i]))
            bad_switch(words[i]);
    if (rules[FLOCK].error || rules[FLOCK].delay_ms)
        ops.flock = do_flock; /* Otherwise the kernel keeps locks itself. */
    clock_gettime(CLOCK_REALTIME, &now);
    salt = (uint64_t)now.tv_sec * 1000000007 + (uint64_t)now.tv_nsec;
    umask(0);
    mountpoint = words[2];
    int folder = open(words[1], O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || fstatat(folder, "", &stat, AT_EMPTY_PATH)) {
        perror(words[1]);
        return 1;
    }
    root = new_node(folder, &stat, "");
    char *options[] = {words[0], "-o", "fsname=oddfs,allow_other,default_permissions", NULL};
    struct fuse_args arguments = FUSE_ARGS_INIT(3, options);
    struct fuse_session *session = fuse_session_new(&arguments, &ops, sizeof ops, NULL);
    if (!session || fuse_session_mount(session, mountpoint))
        return 1;
    puts("mounted");
    fflush(stdout);
    if (pthread_create(&waiting, NULL, wait_for_end, NULL))
        return 1;
    int ended = fuse_session_loop(session);
    fuse_session_unmount(session);
    return ended != 0;
}
