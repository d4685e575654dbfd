/* What a process does to the files below one folder, written down in order; and faults at a chosen place of that order.
 *
 * Loaded before libc (LD_PRELOAD), so that SQLite's calls, Python's and everybody else's come by here. Each call that
 * changes a file or a folder, or syncs one, is carried out and then appended to a trace outside the folder, under one
 * lock: the trace is the order in which the disk was told. disk.py makes of it what a power cut would leave.
 *
 * TVILLING_FAULTS_ROOT   the folder that is watched, absolute
 * TVILLING_FAULTS_TRACE  where the trace goes
 *
 * Records: u8 kind, u64 inode, u64 a, u64 b, u32 length of text 1, of text 2, of data; then the three, one after another.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { ROOT = 'R', CREATE = 'C', WRITE = 'W', TRUNCATE = 'T', SYNC = 'S', MAKE_FOLDER = 'M', RENAME = 'N', LINK = 'L',
       UNLINK = 'U', REMOVE_FOLDER = 'D', NOTE = 'A' };
enum { NOTHING = 0, KILL = 1, TEAR = 2, FULL = 3, FAIL_SYNC = 4 };

static char root[PATH_MAX];
static size_t root_length;
static int trace = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned char watched[65536];
static int fault;
static long countdown, calls;

#define REAL(name) ({ static __typeof__(&name) real_; if (!real_) real_ = (__typeof__(&name))dlsym(RTLD_NEXT, #name); real_; })

static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork(void) { pthread_mutex_unlock(&lock); }

struct __attribute__((packed)) head { uint8_t kind; uint64_t inode, a, b; uint32_t first, second, data; };

static void tell(int kind, uint64_t inode, uint64_t a, uint64_t b, const char *first, const char *second,
                 const void *data, size_t length) {
    if (trace < 0) return;
    int kept = errno;
    struct head head = {kind, inode, a, b, first ? strlen(first) : 0, second ? strlen(second) : 0, length};
    struct iovec parts[4] = {{&head, sizeof head}, {(void *)first, head.first}, {(void *)second, head.second},
                             {(void *)data, length}};
    ssize_t wanted = sizeof head + head.first + head.second + length;
    if (syscall(SYS_writev, trace, parts, 4) != wanted) { dprintf(2, "the trace cannot be written\n"); abort(); }
    errno = kept;
}

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("TVILLING_FAULTS_ROOT"), *file = getenv("TVILLING_FAULTS_TRACE");
    struct stat about;
    if (!folder || !file || stat(folder, &about)) return;
    strncpy(root, folder, sizeof root - 1);
    root_length = strlen(root);
    trace = syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    pthread_atfork(before_fork, after_fork, after_fork);
    tell(ROOT, about.st_ino, 0, 0, root, NULL, NULL, 0);
}

/* The absolute path of what a call names; NULL where it does not lie below the root. */
static const char *below(int folder, const char *path, char *out) {
    if (trace < 0 || !path) return NULL;
    if (path[0] == '/') snprintf(out, PATH_MAX, "%s", path);
    else {
        char link[64];
        ssize_t length;
        if (folder == AT_FDCWD) length = getcwd(out, PATH_MAX) ? (ssize_t)strlen(out) : -1;
        else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            length = readlink(link, out, PATH_MAX - 1);
        }
        if (length < 0) return NULL;
        snprintf(out + length, PATH_MAX - length, "/%s", path);
    }
    return !strncmp(out, root, root_length) && out[root_length] == '/' ? out : NULL;
}

static int is_watched(int fd, struct stat *about) {
    return trace >= 0 && fd >= 0 && fd < 65536 && watched[fd] && !fstat(fd, about)
        && (S_ISREG(about->st_mode) || S_ISDIR(about->st_mode));
}

/* Called with the lock held, before each call that is told of: a fault that is due strikes. */
static int strikes(int takes_room, int is_sync) {
    calls++;
    if (fault == KILL || fault == TEAR) {
        if (countdown-- > 0) return NOTHING;
        if (fault == KILL) syscall(SYS_kill, getpid(), SIGKILL);
        return fault;
    }
    if (fault == FULL && takes_room) return countdown-- > 0 ? NOTHING : FULL;
    if (fault == FAIL_SYNC && is_sync) return countdown-- > 0 ? NOTHING : FAIL_SYNC;
    return NOTHING;
}

/* For the program under test: which fault, and after how many calls (of the kind that it concerns). */
void faults_arm(int which, long after) { pthread_mutex_lock(&lock); fault = which; countdown = after; pthread_mutex_unlock(&lock); }
long faults_calls(void) { return calls; }
int faults_struck(void) { return fault != NOTHING && countdown < 0; }
void faults_note(const char *data, size_t length) {
    pthread_mutex_lock(&lock); tell(NOTE, 0, 0, 0, NULL, NULL, data, length); pthread_mutex_unlock(&lock);
}

static int open_any(int folder, const char *path, int flags, mode_t mode) {
    char full[PATH_MAX];
    const char *mine = below(folder, path, full);
    struct stat about;
    int fd;
    if (!mine) {
        fd = syscall(SYS_openat, folder, path, flags, mode);
        if (fd >= 0 && fd < 65536) watched[fd] = trace >= 0 && !strcmp(path, root);
        return fd;
    }
    pthread_mutex_lock(&lock);
    int is_new = (flags & O_CREAT) && lstat(mine, &about) != 0;
    if (is_new && strikes(1, 0) == FULL) { pthread_mutex_unlock(&lock); errno = ENOSPC; return -1; }
    fd = syscall(SYS_openat, folder, path, flags, mode);
    if (fd >= 0 && fd < 65536) {
        watched[fd] = 1;
        if (!fstat(fd, &about)) {
            if (is_new) tell(CREATE, about.st_ino, 0, 0, mine, NULL, NULL, 0);
            else if ((flags & O_TRUNC) && (flags & O_ACCMODE) != O_RDONLY) tell(TRUNCATE, about.st_ino, 0, 0, NULL, NULL, NULL, 0);
        }
    }
    int kept = errno; pthread_mutex_unlock(&lock); errno = kept;
    return fd;
}

#define MODE_OF(flags) mode_t mode = 0; if ((flags) & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, int); va_end(more); }
int open(const char *path, int flags, ...) { MODE_OF(flags) return open_any(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE_OF(flags) return open_any(AT_FDCWD, path, flags, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE_OF(flags) return open_any(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE_OF(flags) return open_any(folder, path, flags, mode); }
int __open_2(const char *path, int flags) { return open_any(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return open_any(AT_FDCWD, path, flags, 0); }
int creat(const char *path, mode_t mode) { return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

static ssize_t write_any(int fd, const void *data, size_t length, off_t at, int positioned) {
    struct stat about;
    if (!is_watched(fd, &about) || !S_ISREG(about.st_mode))
        return positioned ? syscall(SYS_pwrite64, fd, data, length, at) : syscall(SYS_write, fd, data, length);
    pthread_mutex_lock(&lock);
    fstat(fd, &about);
    if (!positioned) at = (fcntl(fd, F_GETFL) & O_APPEND) ? about.st_size : lseek(fd, 0, SEEK_CUR);
    int struck = strikes(at + (off_t)length > about.st_size, 0);
    ssize_t done;
    if (struck == FULL) { done = -1; errno = ENOSPC; }
    else {
        size_t wanted = struck == TEAR ? length / 2 : length;
        done = positioned ? syscall(SYS_pwrite64, fd, data, wanted, at) : syscall(SYS_write, fd, data, wanted);
        if (done >= 0) tell(WRITE, about.st_ino, at, 0, NULL, NULL, data, done);
        if (struck == TEAR) syscall(SYS_kill, getpid(), SIGKILL);
    }
    int kept = errno; pthread_mutex_unlock(&lock); errno = kept;
    return done;
}
ssize_t write(int fd, const void *data, size_t length) { return write_any(fd, data, length, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t length, off_t at) { return write_any(fd, data, length, at, 1); }
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at) { return write_any(fd, data, length, at, 1); }
ssize_t writev(int fd, const struct iovec *parts, int count) {
    struct stat about;
    if (!is_watched(fd, &about)) return syscall(SYS_writev, fd, parts, count);
    ssize_t total = 0;
    for (int i = 0; i < count; i++) {
        ssize_t done = write_any(fd, parts[i].iov_base, parts[i].iov_len, 0, 0);
        if (done < 0) return total ? total : -1;
        total += done;
        if ((size_t)done < parts[i].iov_len) break;
    }
    return total;
}
/* Copies inside the kernel are done by hand, so that their bytes are known. */
static ssize_t copy_any(int out, int in, off64_t *from, off64_t *to, size_t length) {
    char block[65536];
    ssize_t got = from ? syscall(SYS_pread64, in, block, length < sizeof block ? length : sizeof block, *from)
                       : syscall(SYS_read, in, block, length < sizeof block ? length : sizeof block);
    if (got <= 0) return got;
    ssize_t put = write_any(out, block, got, to ? *to : 0, to != NULL);
    if (put < 0) return put;
    if (from) *from += put;
    else if (put < got) lseek(in, put - got, SEEK_CUR);
    if (to) *to += put;
    return put;
}
ssize_t sendfile(int out, int in, off_t *from, size_t length) {
    struct stat about;
    return is_watched(out, &about) ? copy_any(out, in, from, NULL, length) : syscall(SYS_sendfile, out, in, from, length);
}
ssize_t sendfile64(int out, int in, off64_t *from, size_t length) { return sendfile(out, in, from, length); }
ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t length, unsigned flags) {
    struct stat about;
    return is_watched(out, &about) ? copy_any(out, in, from, to, length) : syscall(SYS_copy_file_range, in, from, out, to, length, flags);
}

static int truncate_any(int fd, off_t size) {
    struct stat about;
    if (!is_watched(fd, &about)) return syscall(SYS_ftruncate, fd, size);
    pthread_mutex_lock(&lock);
    int answer = -1;
    if (strikes(size > about.st_size, 0) == FULL) errno = ENOSPC;
    else if (!(answer = syscall(SYS_ftruncate, fd, size))) tell(TRUNCATE, about.st_ino, size, 0, NULL, NULL, NULL, 0);
    int kept = errno; pthread_mutex_unlock(&lock); errno = kept;
    return answer;
}
int ftruncate(int fd, off_t size) { return truncate_any(fd, size); }
int ftruncate64(int fd, off64_t size) { return truncate_any(fd, size); }
int posix_fallocate(int fd, off_t at, off_t length) {
    struct stat about;
    if (fstat(fd, &about)) return errno;
    return at + length <= about.st_size || !truncate_any(fd, at + length) ? 0 : errno;
}
int posix_fallocate64(int fd, off64_t at, off64_t length) { return posix_fallocate(fd, at, length); }
int fallocate(int fd, int mode, off_t at, off_t length) { (void)mode; int e = posix_fallocate(fd, at, length); errno = e; return e ? -1 : 0; }
int fallocate64(int fd, int mode, off64_t at, off64_t length) { return fallocate(fd, mode, at, length); }

static int sync_any(int fd, long number) {
    struct stat about;
    if (!is_watched(fd, &about)) return syscall(number, fd);
    pthread_mutex_lock(&lock);
    int answer = 0;
    /* Nothing is asked of the real disk: what is durable is decided by the trace. */
    if (strikes(0, 1) == FAIL_SYNC) { answer = -1; errno = EIO; }
    else tell(SYNC, about.st_ino, 0, 0, NULL, NULL, NULL, 0);
    int kept = errno; pthread_mutex_unlock(&lock); errno = kept;
    return answer;
}
int fsync(int fd) { return sync_any(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_any(fd, SYS_fdatasync); }

static int rename_any(int from, const char *old, int to, const char *new) {
    char first[PATH_MAX], second[PATH_MAX];
    const char *a = below(from, old, first), *b = below(to, new, second);
    if (!a && !b) return syscall(SYS_renameat, from, old, to, new);
    pthread_mutex_lock(&lock);
    strikes(0, 0);
    int answer = syscall(SYS_renameat, from, old, to, new);
    if (!answer) tell(RENAME, 0, 0, 0, a ? a : "", b ? b : "", NULL, 0);
    int kept = errno; pthread_mutex_unlock(&lock); errno = kept;
    return answer;
}
int rename(const char *old, const char *new) { return rename_any(AT_FDCWD, old, AT_FDCWD, new); }
int renameat(int from, const char *old, int to, const char *new) { return rename_any(from, old, to, new); }

static int unlink_any(int folder, const char *path, int flags) {
    char full[PATH_MAX];
    const char *mine = below(folder, path, full);
    if (!mine) return syscall(SYS_unlinkat, folder, path, flags);
    pthread_mutex_lock(&lock);
    strikes(0, 0);
    int answer = syscall(SYS_unlinkat, folder, path, flags);
    if (!answer) tell(flags & AT_REMOVEDIR ? REMOVE_FOLDER : UNLINK, 0, 0, 0, mine, NULL, NULL, 0);
    int kept = errno; pthread_mutex_unlock(&lock); errno = kept;
    return answer;
}
int unlink(const char *path) { return unlink_any(AT_FDCWD, path, 0); }
int remove(const char *path) { struct stat s; return unlink_any(AT_FDCWD, path, !lstat(path, &s) && S_ISDIR(s.st_mode) ? AT_REMOVEDIR : 0); }
int unlinkat(int folder, const char *path, int flags) { return unlink_any(folder, path, flags); }
int rmdir(const char *path) { return unlink_any(AT_FDCWD, path, AT_REMOVEDIR); }

static int make_folder(int folder, const char *path, mode_t mode) {
    char full[PATH_MAX];
    const char *mine = below(folder, path, full);
    struct stat about;
    if (!mine) return syscall(SYS_mkdirat, folder, path, mode);
    pthread_mutex_lock(&lock);
    int answer = -1, is_new = lstat(mine, &about) != 0;
    if (is_new && strikes(1, 0) == FULL) errno = ENOSPC;
    else if (!(answer = syscall(SYS_mkdirat, folder, path, mode)) && !lstat(mine, &about))
        tell(MAKE_FOLDER, about.st_ino, 0, 0, mine, NULL, NULL, 0);
    int kept = errno; pthread_mutex_unlock(&lock); errno = kept;
    return answer;
}
int mkdir(const char *path, mode_t mode) { return make_folder(AT_FDCWD, path, mode); }
int mkdirat(int folder, const char *path, mode_t mode) { return make_folder(folder, path, mode); }

static int link_any(int from, const char *old, int to, const char *new, int flags) {
    char first[PATH_MAX], second[PATH_MAX];
    const char *a = below(from, old, first), *b = below(to, new, second);
    struct stat about;
    if (!b) return syscall(SYS_linkat, from, old, to, new, flags);
    pthread_mutex_lock(&lock);
    strikes(0, 0);
    int answer = syscall(SYS_linkat, from, old, to, new, flags);
    if (!answer && !lstat(b, &about)) tell(LINK, about.st_ino, 0, 0, a ? a : "", b, NULL, 0);
    int kept = errno; pthread_mutex_unlock(&lock); errno = kept;
    return answer;
}
int link(const char *old, const char *new) { return link_any(AT_FDCWD, old, AT_FDCWD, new, 0); }
int linkat(int from, const char *old, int to, const char *new, int flags) { return link_any(from, old, to, new, flags); }
