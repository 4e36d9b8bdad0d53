/* The least that carving takes: what S4 measures batches against.
   carve IMAGE FOLDER < list of "START LEN NAME" */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
    static char buffer[1 << 20];
    char name[256];
    long long start, len;
    int image = argc == 3 ? open(argv[1], O_RDONLY) : -1;
    if (image < 0 || chdir(argv[2]) != 0) return 1;
    while (scanf("%lld %lld %255s", &start, &len, name) == 3) {
        int file = open(name, O_WRONLY | O_CREAT | O_EXCL, 0666);
        if (file < 0) return 1;
        for (long long at = 0; at < len;) {
            size_t want = len - at < (long long)sizeof buffer ? (size_t)(len - at) : sizeof buffer;
            ssize_t got = pread(image, buffer, want, start + at);
            if (got <= 0 || pwrite(file, buffer, (size_t)got, at) != got) return 1;
            at += got;
        }
        if (close(file) != 0) return 1;
    }
    return 0;
}
