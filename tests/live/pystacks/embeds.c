/* A program that is no Python, until it loads LIBRARY: calls before, calls of a thread that was there before, and Python's. */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static int file, shot[2];

static void *work(void *unused) {
    char byte;
    pread(file, &byte, 1, 2);
    read(shot[0], &byte, 1);
    pread(file, &byte, 1, 3);
    int (*ensure)(void) = dlsym(RTLD_DEFAULT, "PyGILState_Ensure");
    int (*run)(const char *) = dlsym(RTLD_DEFAULT, "PyRun_SimpleString");
    void (*release)(int) = dlsym(RTLD_DEFAULT, "PyGILState_Release");
    int state = ensure();
    run("os.pread(file, 1, 5)");
    release(state);
    return unused;
}

int main(int count, char **words) {
    char byte;
    pthread_t thread;
    file = open(words[2], O_RDONLY);
    pread(file, &byte, 1, 1);
    if (count != 3 || pipe(shot) || pthread_create(&thread, 0, work, 0)) return 1;
    if (!dlopen(words[1], RTLD_NOW | RTLD_GLOBAL)) return puts(dlerror()), 1;
    void (*initialize)(void) = dlsym(RTLD_DEFAULT, "Py_Initialize");
    int (*run)(const char *) = dlsym(RTLD_DEFAULT, "PyRun_SimpleString");
    void *(*save)(void) = dlsym(RTLD_DEFAULT, "PyEval_SaveThread");
    char text[4096];
    snprintf(text, sizeof text, "import os\nfile = os.open('%s', 0)\ndef f():\n    os.pread(file, 1, 4)\nf()", words[2]);
    initialize();
    run(text);
    save();
    return write(shot[1], "", 1) != 1 || pthread_join(thread, 0);
}
