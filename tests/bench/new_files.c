/* Files that live for a moment: each is made, written to, closed and removed, and has a name nobody had before.
 *
 *     new_files FOLDER FIRST COUNT
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc != 4 || chdir(argv[1])) return 1;
    long first = atol(argv[2]), count = atol(argv[3]);
    char name[64];
    for (long i = first; i < first + count; i++) {
        snprintf(name, sizeof name, "part-%012ld.tmp", i);
        int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0600);
        if (fd < 0 || write(fd, name, 1) != 1 || close(fd) || unlink(name)) return 1;
    }
    return 0;
}
