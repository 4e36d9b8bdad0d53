/*
 * Runs a program with its defences against links taken away, and attacks it: what is left
 * to keep it from writing elsewhere is the kernel.
 *
 *     undefended link VICTIM FOLDER NUMBER PROGRAM [ARGUMENT...]
 *     undefended taken VICTIM FOLDER NUMBER PROGRAM [ARGUMENT...]
 *     undefended second VICTIM FOLDER NUMBER PROGRAM [ARGUMENT...]
 *     undefended folder OTHER FOLDER NUMBER PROGRAM [ARGUMENT...]
 *
 * Every system call that names a file is changed before the kernel sees it: none refuses
 * to follow a link (O_NOFOLLOW, AT_SYMLINK_NOFOLLOW) or asks for a name that nothing has
 * (O_EXCL), and none goes by a folder that was opened before: names in it are looked up
 * along the path again. With `link`, whatever name below FOLDER is about to be created is
 * a link to VICTIM by then, and with `second` it is a further name of VICTIM (a hard link).
 * With `taken`, that is also so of what has its name already and is about to be opened for
 * writing. With `folder`, FOLDER itself is a link to OTHER from the first creation in it on.
 * That is so for creation NUMBER alone, counted from 1, or with 0 for all of them.
 *
 * What stays: a rename that replaces nothing (RENAME_NOREPLACE), locks, the comparisons of
 * what is open with what has the name, and all that is looked at before it is written to.
 *
 * The last line, on standard error, says how often that was done: "undefended: attacks: 2".
 * The exit code is that of the program, or 99 if this one fails.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

/* More descriptors and threads than the tests have. */
#define DESCRIPTORS 1024
#define THREADS 256

/* Below the stack pointer the ABI keeps 128 bytes for the program; what is below is free. */
#define BELOW_STACK 8192

typedef unsigned long long word;

/* A thread, and the call it is in: its registers, if they were changed, and what it opens. */
struct thread {
    pid_t id;
    int is_inside;
    int is_changed;
    int is_opening;
    struct user_regs_struct before;
    char opened[PATH_MAX];
};

static struct thread threads[THREADS];

/* The path by which each descriptor was opened, or "". */
static char paths[DESCRIPTORS][PATH_MAX];

static const char *aim, *folder;
static int is_folder_attack, is_taken_attack, is_second_attack, attacks, number, creations;

static void fail(const char *what)
{
    fprintf(stderr, "undefended: %s: %s\n", what, strerror(errno));
    exit(99);
}

static struct thread *thread_of(pid_t id)
{
    struct thread *unused = NULL;
    for (struct thread *thread = threads; thread < threads + THREADS; thread++) {
        if (thread->id == id)
            return thread;
        if (!thread->id && !unused)
            unused = thread;
    }
    if (!unused)
        fail("too many threads");
    memset(unused, 0, sizeof *unused);
    unused->id = id;
    return unused;
}

/* The text at `from` in the program; whether all of it could be read. */
static int read_text(pid_t id, word from, char *text)
{
    for (size_t len = 0; len < PATH_MAX;) {
        /* No further than the page, behind which may be nothing. */
        size_t part = 4096 - (from + len) % 4096;
        if (part > PATH_MAX - len)
            part = PATH_MAX - len;
        struct iovec to = {text + len, part}, at = {(void *)(from + len), part};
        ssize_t got = process_vm_readv(id, &to, 1, &at, 1, 0);
        if (got <= 0)
            return 0;
        if (memchr(text + len, 0, got))
            return 1;
        len += got;
    }
    return 0;
}

/* Puts `text` where the program does not need it; the place. `slot` counts from 1. */
static word write_text(pid_t id, const struct user_regs_struct *regs, int slot, const char *text)
{
    word place = (regs->rsp - BELOW_STACK - (word)slot * PATH_MAX) & ~15ULL;
    struct iovec from = {(void *)text, strlen(text) + 1}, at = {(void *)place, strlen(text) + 1};
    if (process_vm_writev(id, &from, 1, &at, 1, 0) != (ssize_t)(strlen(text) + 1))
        fail("cannot write into the program");
    return place;
}

/* `name` as it is looked up from `descriptor`, along the path that led there. */
static int whole_path(pid_t id, long descriptor, const char *name, char *path)
{
    char link[64];
    if (name[0] == '/') {
        strcpy(path, name);
        return 1;
    }
    if ((int)descriptor == AT_FDCWD) {
        snprintf(link, sizeof link, "/proc/%d/cwd", (int)id);
        ssize_t len = readlink(link, path, PATH_MAX - 1);
        if (len < 0)
            return 0;
        path[len] = 0;
    } else if (descriptor >= 0 && descriptor < DESCRIPTORS && paths[descriptor][0]) {
        strcpy(path, paths[descriptor]);
    } else {
        return 0;
    }
    size_t len = strlen(path);
    snprintf(path + len, PATH_MAX - len, "/%s", name);
    return 1;
}

static int is_below(const char *path)
{
    size_t len = strlen(folder);
    return strncmp(path, folder, len) == 0 && path[len] == '/';
}

/* Attacks a creation of `path`. */
static void attack(const char *path)
{
    char away[PATH_MAX];
    if (!is_below(path) || (++creations != number && number))
        return;
    if (!is_folder_attack) {
        /* Without this, what is there already is opened, not created. */
        if (is_taken_attack)
            unlink(path);
        attacks += (is_second_attack ? link(aim, path) : symlink(aim, path)) == 0;
        return;
    }
    if (attacks)
        return;
    snprintf(away, sizeof away, "%s.away", folder);
    if (rename(folder, away) || symlink(aim, folder))
        fail("cannot swap the folder");
    attacks = 1;
}

/* Looks a name up along its path; registers of the descriptor and of the name. */
static int follow(pid_t id, struct user_regs_struct *regs, int slot, word *descriptor, word *name,
                  char *path)
{
    char text[PATH_MAX];
    if (!read_text(id, *name, text) || !text[0] || !whole_path(id, (long)*descriptor, text, path))
        return 0;
    if (text[0] != '/' && (int)*descriptor != AT_FDCWD) {
        *name = write_text(id, regs, slot, path);
        *descriptor = (word)AT_FDCWD;
    }
    return 1;
}

static void enters(struct thread *thread)
{
    struct user_regs_struct regs;
    char text[PATH_MAX], path[PATH_MAX];
    thread->is_changed = 0;
    thread->is_opening = 0;
    thread->opened[0] = 0;
    if (ptrace(PTRACE_GETREGS, thread->id, 0, &regs))
        return;
    thread->before = regs;
    switch (regs.orig_rax) {
    case SYS_open:
        if (!read_text(thread->id, regs.rdi, text) ||
            !whole_path(thread->id, AT_FDCWD, text, thread->opened))
            return;
        thread->is_opening = 1;
        if (regs.rsi & O_CREAT)
            attack(thread->opened);
        regs.rsi &= ~(word)(O_NOFOLLOW | O_EXCL);
        break;
    case SYS_lstat:
        regs.orig_rax = SYS_stat;
        break;
    case SYS_fcntl:
        if ((regs.rsi != F_DUPFD && regs.rsi != F_DUPFD_CLOEXEC) || regs.rdi >= DESCRIPTORS)
            return;
        strcpy(thread->opened, paths[regs.rdi]);
        thread->is_opening = 1;
        break;
    case SYS_openat:
        if (!follow(thread->id, &regs, 1, &regs.rdi, &regs.rsi, path))
            return;
        strcpy(thread->opened, path);
        thread->is_opening = 1;
        /* A file without a name cannot be a link, but comes into a folder. */
        if (regs.rdx & O_CREAT || ((regs.rdx & O_TMPFILE) == O_TMPFILE && is_folder_attack) ||
            (regs.rdx & O_ACCMODE && is_taken_attack && (regs.rdx & O_TMPFILE) != O_TMPFILE))
            attack(path);
        regs.rdx &= ~(word)(O_NOFOLLOW | O_EXCL);
        break;
    case SYS_newfstatat:
    case SYS_utimensat:
        /* Without a name, the call is on a descriptor. */
        if (!follow(thread->id, &regs, 1, &regs.rdi, &regs.rsi, path))
            return;
        regs.r10 &= ~(word)AT_SYMLINK_NOFOLLOW;
        break;
    case SYS_statx:
        if (!follow(thread->id, &regs, 1, &regs.rdi, &regs.rsi, path))
            return;
        regs.rdx &= ~(word)AT_SYMLINK_NOFOLLOW;
        break;
    case SYS_fchownat:
        if (!follow(thread->id, &regs, 1, &regs.rdi, &regs.rsi, path))
            return;
        regs.r8 &= ~(word)AT_SYMLINK_NOFOLLOW;
        break;
    case SYS_mkdirat:
        /* A folder is not made through a link. */
        if (follow(thread->id, &regs, 1, &regs.rdi, &regs.rsi, path) && is_folder_attack)
            attack(path);
        break;
    case SYS_fchmodat:
    case SYS_unlinkat:
        follow(thread->id, &regs, 1, &regs.rdi, &regs.rsi, path);
        break;
    case SYS_renameat:
    case SYS_renameat2:
    case SYS_linkat:
        follow(thread->id, &regs, 1, &regs.rdi, &regs.rsi, path);
        follow(thread->id, &regs, 2, &regs.rdx, &regs.r10, path);
        break;
    default:
        return;
    }
    if (ptrace(PTRACE_SETREGS, thread->id, 0, &regs))
        fail("cannot change a call");
    thread->is_changed = 1;
}

static void leaves(struct thread *thread)
{
    struct user_regs_struct regs;
    if (!thread->is_changed || ptrace(PTRACE_GETREGS, thread->id, 0, &regs))
        return;
    if (thread->is_opening && (long)regs.rax >= 0 && regs.rax < DESCRIPTORS)
        strcpy(paths[regs.rax], thread->opened);
    /* A call leaves its arguments as they were. */
    regs.rdi = thread->before.rdi;
    regs.rsi = thread->before.rsi;
    regs.rdx = thread->before.rdx;
    regs.r10 = thread->before.r10;
    regs.r8 = thread->before.r8;
    if (ptrace(PTRACE_SETREGS, thread->id, 0, &regs) && errno != ESRCH)
        fail("cannot give registers back");
}

int main(int count, char **words)
{
    if (count < 6) {
        fprintf(stderr, "usage: undefended ATTACK TARGET FOLDER NUMBER PROGRAM [ARGUMENT...]\n");
        return 99;
    }
    is_folder_attack = strcmp(words[1], "folder") == 0;
    is_taken_attack = strcmp(words[1], "taken") == 0;
    is_second_attack = strcmp(words[1], "second") == 0;
    if (!is_folder_attack && !is_taken_attack && !is_second_attack && strcmp(words[1], "link")) {
        errno = EINVAL;
        fail(words[1]);
    }
    aim = words[2];
    folder = words[3];
    number = atoi(words[4]);
    pid_t first = fork();
    if (first == 0) {
        if (ptrace(PTRACE_TRACEME, 0, 0, 0) || raise(SIGSTOP))
            fail("cannot be traced");
        execv(words[5], words + 5);
        fail(words[5]);
    }
    int status;
    if (first < 0 || waitpid(first, &status, 0) != first || !WIFSTOPPED(status))
        fail("cannot start the program");
    if (ptrace(PTRACE_SETOPTIONS, first, 0,
               PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
                   PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL))
        fail("cannot trace");
    int code = 99;
    if (ptrace(PTRACE_SYSCALL, first, 0, 0))
        fail("cannot go on");
    for (pid_t id; (id = waitpid(-1, &status, __WALL)) > 0;) {
        struct thread *thread = thread_of(id);
        if (!WIFSTOPPED(status)) {
            if (id == first)
                code = WIFEXITED(status) ? WEXITSTATUS(status) : 98;
            thread->id = 0;
            continue;
        }
        int signal = WSTOPSIG(status);
        if (signal == (SIGTRAP | 0x80)) {
            thread->is_inside = !thread->is_inside;
            if (thread->is_inside)
                enters(thread);
            else
                leaves(thread);
            signal = 0;
        } else if (signal == SIGTRAP || signal == SIGSTOP) {
            /* A new thread, a new program, or a thread that has just begun. */
            signal = 0;
        }
        ptrace(PTRACE_SYSCALL, id, 0, (void *)(long)signal);
    }
    fprintf(stderr, "undefended: attacks: %d\n", attacks);
    return code;
}
