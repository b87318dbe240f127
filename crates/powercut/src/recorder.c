/*
 * The recorder: a library that is loaded into a process (LD_PRELOAD). It records every change that the
 * process makes to files in one folder, with its bytes and in order, and injects the fault that a
 * control file describes.
 *
 * A seccomp filter traps the system calls that change files, wherever in the process they are made:
 * some of the journal's dependencies make them without libc, so a library that only wraps libc's
 * functions would miss them. The trap's handler makes the call itself, from the only address that the
 * filter allows, and records the result.
 *
 * A sync is recorded and not executed: the kernel's sync is not under test. The handler does not call
 * libc, so it may interrupt any code.
 *
 * The formats of the trace and of the control file are those of trace.rs and control.rs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#if !defined(__linux__) || !defined(__x86_64__)
#error "the recorder knows Linux on x86_64 only"
#endif

/* The kinds of the trace's records. */
enum { CREATE = 1, WRITE, RESIZE, SYNC, SYNC_FAILED, RENAME, UNLINK, MKDIR, LINK, UNKNOWN };

/* The operations that a fault affects. */
enum { ON_WRITE = 1, ON_SYNC = 2, ON_NAME = 4 };

/* The fault that kills the process, in place of an error number. */
#define KILL 0xffffffffu

#define PATH_BYTES 4096
#define VECTORS 64

struct record {
    uint32_t total;
    uint32_t kind;
    uint32_t detail;
    uint32_t path_len;
    uint64_t ino;
    uint64_t offset;
};

/* Shared with the test. */
struct control {
    uint32_t on;      /* bits of ON_* */
    uint32_t skip;    /* the number of such operations that succeed first */
    uint32_t times;   /* the number of operations that then fail */
    uint32_t error;   /* the error number, or KILL */
    uint32_t drops;   /* set if a failed sync drops the unwritten pages */
    uint32_t hits;    /* the number of operations that have failed */
    uint32_t sync_us; /* the duration of a sync, microseconds */
    char place[100];  /* a substring of the affected paths; empty for all paths */
};

extern long powercut_syscall(long number, long a, long b, long c, long d, long e, long f);
extern char powercut_syscall_end[];

__asm__(".text\n"
        ".globl powercut_syscall\n"
        ".hidden powercut_syscall\n"
        ".type powercut_syscall, @function\n"
        "powercut_syscall:\n"
        "  movq %rdi, %rax\n"
        "  movq %rsi, %rdi\n"
        "  movq %rdx, %rsi\n"
        "  movq %rcx, %rdx\n"
        "  movq %r8, %r10\n"
        "  movq %r9, %r8\n"
        "  movq 8(%rsp), %r9\n"
        "  syscall\n"
        ".globl powercut_syscall_end\n"
        ".hidden powercut_syscall_end\n"
        "powercut_syscall_end:\n"
        "  ret\n");

#define CALL6(n, a, b, c, d, e, f) \
    powercut_syscall((n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define CALL3(n, a, b, c) CALL6(n, a, b, c, 0, 0, 0)
#define CALL4(n, a, b, c, d) CALL6(n, a, b, c, d, 0, 0)

static char folder[PATH_BYTES];
static size_t folder_len;
static int trace;
static struct control *control;

static size_t length(const char *text) {
    size_t len = 0;
    while (text[len] != 0) len++;
    return len;
}

static void append(char *to, size_t *len, const char *text) {
    while (*text != 0 && *len + 1 < PATH_BYTES) to[(*len)++] = *text++;
    to[*len] = 0;
}

static int is_inside(const char *path) {
    for (size_t at = 0; at < folder_len; at++)
        if (path[at] != folder[at]) return 0;
    return path[folder_len] == 0 || path[folder_len] == '/';
}

static int contains(const char *path, const char *part) {
    size_t len = length(part);
    for (; *path != 0 || len == 0; path++) {
        size_t at = 0;
        while (at < len && path[at] == part[at]) at++;
        if (at == len) return 1;
    }
    return 0;
}

/* Stores the path of an open file. */
static int path_of(int fd, char *path) {
    char link[32] = "/proc/self/fd/", digits[12];
    size_t len = length(link), count = 0;
    unsigned int left = (unsigned int)fd;
    do digits[count++] = (char)('0' + left % 10); while ((left /= 10) != 0);
    while (count > 0) link[len++] = digits[--count];
    link[len] = 0;
    long got = CALL3(SYS_readlink, link, path, PATH_BYTES - 1);
    if (got < 0) return 0;
    path[got] = 0;
    return 1;
}

/* Stores the absolute path of a call's argument. */
static int absolute(int dir, const char *name, char *path) {
    size_t len = 0;
    if (name == NULL) return 0;
    if (name[0] != '/') {
        if (dir == AT_FDCWD) {
            if (CALL3(SYS_getcwd, path, PATH_BYTES, 0) < 0) return 0;
        } else if (!path_of(dir, path)) {
            return 0;
        }
        len = length(path);
        append(path, &len, "/");
    }
    append(path, &len, name);
    return 1;
}

static int named_inside(int dir, const char *name, char *path) {
    return absolute(dir, name, path) && is_inside(path);
}

/* Reports whether an open file or folder is in the recorded folder. */
static int open_inside(int fd, struct stat *stat, char *path) {
    if (CALL3(SYS_fstat, fd, stat, 0) < 0) return 0;
    if (!S_ISREG(stat->st_mode) && !S_ISDIR(stat->st_mode)) return 0;
    return path_of(fd, path) && is_inside(path);
}

/* Writes a record in one call, so that records of threads and processes do not mix. */
static void note(struct record record, const char *path, const struct iovec *data, size_t count) {
    struct iovec parts[VECTORS + 2];
    uint64_t total = sizeof record + record.path_len;
    parts[0] = (struct iovec){&record, sizeof record};
    parts[1] = (struct iovec){(void *)path, record.path_len};
    for (size_t at = 0; at < count; at++) {
        parts[at + 2] = data[at];
        total += data[at].iov_len;
    }
    record.total = (uint32_t)total;
    long written = CALL3(SYS_writev, trace, parts, count + 2);
    /* A trace with a gap would blame the process for changes that it did not make. */
    if (written != (long)total) CALL3(SYS_kill, CALL3(SYS_getpid, 0, 0, 0), SIGABRT, 0);
}

static void note_path(uint32_t kind, const char *path, uint64_t ino, const char *other) {
    struct record record = {.kind = kind, .path_len = (uint32_t)length(path), .ino = ino};
    struct iovec data = {(void *)other, other == NULL ? 0 : length(other)};
    note(record, path, &data, 1);
}

static void note_open(uint32_t kind, uint32_t detail, uint64_t ino, uint64_t offset) {
    struct record record = {.kind = kind, .detail = detail, .ino = ino, .offset = offset};
    note(record, "", NULL, 0);
}

/* Returns the error with which this operation must fail, or 0. */
static uint32_t fault(uint32_t kind, const char *path) {
    if ((__atomic_load_n(&control->on, __ATOMIC_ACQUIRE) & kind) == 0) return 0;
    if (!contains(path, control->place)) return 0;
    uint32_t left = __atomic_load_n(&control->skip, __ATOMIC_ACQUIRE);
    while (left > 0)
        if (__atomic_compare_exchange_n(&control->skip, &left, left - 1, 0, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
            return 0;
    left = __atomic_load_n(&control->times, __ATOMIC_ACQUIRE);
    while (left > 0)
        if (__atomic_compare_exchange_n(&control->times, &left, left - 1, 0, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE)) {
            __atomic_fetch_add(&control->hits, 1, __ATOMIC_ACQ_REL);
            if (control->error == KILL) CALL3(SYS_kill, CALL3(SYS_getpid, 0, 0, 0), SIGKILL, 0);
            return control->error;
        }
    return 0;
}

static long sync_file(int fd, long number) {
    char path[PATH_BYTES];
    struct stat stat;
    if (!open_inside(fd, &stat, path)) return CALL3(number, fd, 0, 0);
    uint32_t error = fault(ON_SYNC, path);
    if (error != 0) {
        note_open(SYNC_FAILED, control->drops, stat.st_ino, 0);
        return -(long)error;
    }
    if (control->sync_us > 0) {
        struct timespec time = {0, (long)control->sync_us * 1000};
        CALL3(SYS_nanosleep, &time, 0, 0);
    }
    note_open(SYNC, 0, stat.st_ino, 0);
    return 0;
}

/* Truncates the list of parts to this number of bytes; returns the number of parts. */
static size_t shorten(struct iovec *parts, size_t count, uint64_t bytes) {
    for (size_t at = 0; at < count; at++) {
        if (parts[at].iov_len >= bytes) {
            parts[at].iov_len = bytes;
            return at + 1;
        }
        bytes -= parts[at].iov_len;
    }
    return count;
}

static long write_parts(int fd, const struct iovec *given, size_t count, int at_offset, long offset) {
    char path[PATH_BYTES];
    struct stat stat;
    struct iovec parts[VECTORS];
    uint64_t total = 0;
    if (count > VECTORS) count = VECTORS;
    for (size_t at = 0; at < count; at++) {
        parts[at] = given[at];
        total += given[at].iov_len;
    }
    int inside = open_inside(fd, &stat, path);
    if (inside) {
        uint32_t error = fault(ON_WRITE, path);
        /* When a disk gets full, the first write succeeds in part. */
        int is_first = __atomic_load_n(&control->hits, __ATOMIC_ACQUIRE) == 1;
        if (error == ENOSPC && is_first && total > 1)
            count = shorten(parts, count, total / 2);
        else if (error != 0)
            return -(long)error;
    }
    long done = at_offset ? CALL4(SYS_pwritev, fd, parts, count, offset)
                          : CALL3(SYS_writev, fd, parts, count);
    if (!inside || done <= 0) return done;
    if (!at_offset) offset = CALL3(SYS_lseek, fd, 0, SEEK_CUR) - done;
    struct record record = {.kind = WRITE, .ino = stat.st_ino, .offset = (uint64_t)offset};
    note(record, "", parts, shorten(parts, count, (uint64_t)done));
    return done;
}

static long resize(int fd, long length_asked) {
    char path[PATH_BYTES];
    struct stat stat;
    int inside = open_inside(fd, &stat, path);
    uint32_t error = inside ? fault(ON_WRITE, path) : 0;
    if (error != 0) return -(long)error;
    long done = CALL3(SYS_ftruncate, fd, length_asked, 0);
    if (inside && done == 0) note_open(RESIZE, 0, stat.st_ino, (uint64_t)length_asked);
    return done;
}

static long open_file(int dir, const char *name, long flags, long mode) {
    char path[PATH_BYTES];
    struct stat before, after;
    if (!named_inside(dir, name, path)) return CALL4(SYS_openat, dir, name, flags, mode);
    int was_there = CALL4(SYS_newfstatat, dir, name, &before, 0) == 0;
    if (!was_there) {
        uint32_t error = fault(ON_NAME, path);
        if (error != 0) return -(long)error;
    }
    long fd = CALL4(SYS_openat, dir, name, flags, mode);
    if (fd < 0 || CALL3(SYS_fstat, fd, &after, 0) < 0) return fd;
    if ((flags & O_TMPFILE) == O_TMPFILE) {
        note_open(UNKNOWN, SYS_openat, after.st_ino, 0);
    } else if (!was_there) {
        note_path(CREATE, path, after.st_ino, NULL);
    } else if ((flags & O_TRUNC) != 0 && before.st_size > 0) {
        note_open(RESIZE, 0, after.st_ino, 0);
    }
    return fd;
}

static long make_folder(int dir, const char *name, long mode) {
    char path[PATH_BYTES];
    struct stat stat;
    int inside = named_inside(dir, name, path);
    uint32_t error = inside ? fault(ON_NAME, path) : 0;
    if (error != 0) return -(long)error;
    long done = CALL3(SYS_mkdirat, dir, name, mode);
    if (inside && done == 0 && CALL4(SYS_newfstatat, dir, name, &stat, 0) == 0)
        note_path(MKDIR, path, stat.st_ino, NULL);
    return done;
}

static long remove_name(int dir, const char *name, long flags) {
    char path[PATH_BYTES];
    int inside = named_inside(dir, name, path);
    uint32_t error = inside ? fault(ON_NAME, path) : 0;
    if (error != 0) return -(long)error;
    long done = CALL3(SYS_unlinkat, dir, name, flags);
    if (inside && done == 0) note_path(UNLINK, path, 0, NULL);
    return done;
}

static long rename_file(int from, const char *old, int to, const char *new, long flags) {
    char old_path[PATH_BYTES], new_path[PATH_BYTES];
    int leaves = named_inside(from, old, old_path);
    int comes = named_inside(to, new, new_path);
    uint32_t error = comes ? fault(ON_NAME, new_path) : 0;
    if (error != 0) return -(long)error;
    long done = CALL6(SYS_renameat2, from, old, to, new, flags, 0);
    if (done == 0 && leaves && comes && (flags & RENAME_EXCHANGE) == 0)
        note_path(RENAME, old_path, 0, new_path);
    else if (done == 0 && (leaves || comes))
        note_open(UNKNOWN, SYS_renameat2, 0, 0);
    return done;
}

static long link_file(int from, const char *old, int to, const char *new, long flags) {
    char old_path[PATH_BYTES], new_path[PATH_BYTES];
    int comes = named_inside(to, new, new_path);
    uint32_t error = comes ? fault(ON_NAME, new_path) : 0;
    if (error != 0) return -(long)error;
    long done = CALL6(SYS_linkat, from, old, to, new, flags, 0);
    if (done == 0 && comes && named_inside(from, old, old_path))
        note_path(LINK, old_path, 0, new_path);
    else if (done == 0 && comes)
        note_open(UNKNOWN, SYS_linkat, 0, 0);
    return done;
}

/* A call that the disk model does not support: recorded, so that the test fails and reports it. */
static long unknown(long number, const long *a, int fd) {
    char path[PATH_BYTES];
    struct stat stat;
    if (fd >= 0 && open_inside(fd, &stat, path)) note_open(UNKNOWN, (uint32_t)number, stat.st_ino, 0);
    return CALL6(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static long perform(long number, const long *a) {
    const char *first = (const char *)a[0], *second = (const char *)a[1];
    switch (number) {
    case SYS_write: {
        struct iovec part = {(void *)a[1], (size_t)a[2]};
        return write_parts((int)a[0], &part, 1, 0, 0);
    }
    case SYS_pwrite64: {
        struct iovec part = {(void *)a[1], (size_t)a[2]};
        return write_parts((int)a[0], &part, 1, 1, a[3]);
    }
    case SYS_writev: return write_parts((int)a[0], (struct iovec *)a[1], (size_t)a[2], 0, 0);
    case SYS_pwritev: return write_parts((int)a[0], (struct iovec *)a[1], (size_t)a[2], 1, a[3]);
    case SYS_fsync:
    case SYS_fdatasync: return sync_file((int)a[0], number);
    case SYS_ftruncate: return resize((int)a[0], a[1]);
    case SYS_open: return open_file(AT_FDCWD, first, a[1], a[2]);
    case SYS_creat: return open_file(AT_FDCWD, first, O_CREAT | O_WRONLY | O_TRUNC, a[1]);
    case SYS_openat: return open_file((int)a[0], second, a[2], a[3]);
    case SYS_mkdir: return make_folder(AT_FDCWD, first, a[1]);
    case SYS_mkdirat: return make_folder((int)a[0], second, a[2]);
    case SYS_unlink: return remove_name(AT_FDCWD, first, 0);
    case SYS_rmdir: return remove_name(AT_FDCWD, first, AT_REMOVEDIR);
    case SYS_unlinkat: return remove_name((int)a[0], second, a[2]);
    case SYS_rename: return rename_file(AT_FDCWD, first, AT_FDCWD, second, 0);
    case SYS_renameat: return rename_file((int)a[0], second, (int)a[2], (const char *)a[3], 0);
    case SYS_renameat2: return rename_file((int)a[0], second, (int)a[2], (const char *)a[3], a[4]);
    case SYS_link: return link_file(AT_FDCWD, first, AT_FDCWD, second, 0);
    case SYS_linkat: return link_file((int)a[0], second, (int)a[2], (const char *)a[3], a[4]);
    case SYS_mmap: return unknown(number, a, (int)a[4]);
    case SYS_copy_file_range: return unknown(number, a, (int)a[2]);
    default: return unknown(number, a, (int)a[0]);
    }
}

static void trapped(int signal, siginfo_t *info, void *context) {
    (void)signal;
    greg_t *held = ((ucontext_t *)context)->uc_mcontext.gregs;
    long arguments[6] = {held[REG_RDI], held[REG_RSI], held[REG_RDX],
                         held[REG_R10], held[REG_R8],  held[REG_R9]};
    held[REG_RAX] = perform(info->si_syscall, arguments);
}

#define FIELD(name) offsetof(struct seccomp_data, name)
#define HIGH(name) (offsetof(struct seccomp_data, name) + 4)
#define LOAD(at) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (at))
#define IF_EQUAL(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (yes), (no))
#define IF_ANY(bits, yes, no) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (bits), (yes), (no))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define TRAP BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP)
#define TRAP_CALL(number) IF_EQUAL(number, 0, 1), TRAP
/* A call that creates or truncates a file only with these flags. */
#define TRAP_OPEN(number, flags) \
    IF_EQUAL(number, 0, 4), LOAD(FIELD(args[flags])), IF_ANY(O_CREAT | O_TRUNC, 0, 1), TRAP, ALLOW

static long install(void) {
    uint64_t end = (uint64_t)powercut_syscall_end;
    struct sock_filter filter[] = {
        LOAD(FIELD(arch)), IF_EQUAL(AUDIT_ARCH_X86_64, 1, 0), ALLOW,
        LOAD(FIELD(instruction_pointer)), IF_EQUAL((uint32_t)end, 0, 3),
        LOAD(HIGH(instruction_pointer)), IF_EQUAL((uint32_t)(end >> 32), 0, 1), ALLOW,
        LOAD(FIELD(nr)),
        TRAP_OPEN(SYS_open, 1), TRAP_OPEN(SYS_openat, 2), TRAP_CALL(SYS_creat),
        TRAP_CALL(SYS_write), TRAP_CALL(SYS_pwrite64), TRAP_CALL(SYS_writev),
        TRAP_CALL(SYS_pwritev), TRAP_CALL(SYS_fsync), TRAP_CALL(SYS_fdatasync),
        TRAP_CALL(SYS_ftruncate), TRAP_CALL(SYS_mkdir), TRAP_CALL(SYS_mkdirat),
        TRAP_CALL(SYS_unlink), TRAP_CALL(SYS_rmdir), TRAP_CALL(SYS_unlinkat),
        TRAP_CALL(SYS_rename), TRAP_CALL(SYS_renameat), TRAP_CALL(SYS_renameat2),
        TRAP_CALL(SYS_link), TRAP_CALL(SYS_linkat),
        /* Not supported by the model. */
        TRAP_CALL(SYS_pwritev2), TRAP_CALL(SYS_fallocate), TRAP_CALL(SYS_sync_file_range),
        TRAP_CALL(SYS_syncfs), TRAP_CALL(SYS_sendfile), TRAP_CALL(SYS_copy_file_range),
        IF_EQUAL(SYS_mmap, 0, 6), LOAD(FIELD(args[2])), IF_ANY(PROT_WRITE, 0, 3),
        LOAD(FIELD(args[3])), IF_ANY(MAP_SHARED, 0, 1), TRAP, ALLOW,
        ALLOW,
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
}

static void give_up(const char *why) {
    (void)!write(2, why, strlen(why));
    _exit(97);
}

__attribute__((constructor)) static void start(void) {
    const char *watched = getenv("POWERCUT_FOLDER");
    const char *trace_path = getenv("POWERCUT_TRACE");
    const char *control_path = getenv("POWERCUT_CONTROL");
    if (watched == NULL || trace_path == NULL || control_path == NULL) return;
    append(folder, &folder_len, watched);
    int opened = open(trace_path, O_WRONLY | O_APPEND | O_CLOEXEC);
    int shared = open(control_path, O_RDWR | O_CLOEXEC);
    if (opened < 0 || shared < 0) give_up("powercut: the trace or the control file is not there\n");
    trace = fcntl(opened, F_DUPFD_CLOEXEC, 500);
    control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
    if (trace < 0 || control == MAP_FAILED) give_up("powercut: no trace or no control\n");
    struct sigaction action = {.sa_sigaction = trapped, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART};
    if (sigaction(SIGSYS, &action, NULL) != 0) give_up("powercut: no handler\n");
    if (install() != 0) give_up("powercut: the system takes no filter\n");
}
