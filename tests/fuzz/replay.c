/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A plain main for the fuzzers: replays the files named on the command line, so that what a fuzzer
 * once found is part of the normal tests, with any compiler.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The whole file in memory of exactly its size, so that a sanitizer sees a read past the end. */
static uint8_t *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return NULL;
    fseek(file, 0, SEEK_END);
    long end = ftell(file);
    rewind(file);
    uint8_t *data = end < 0 ? NULL : malloc(end > 0 ? (size_t)end : 1);
    *size = data == NULL ? 0 : fread(data, 1, (size_t)end, file);
    fclose(file);
    return data;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        size_t size;
        uint8_t *data = read_file(argv[i], &size);
        if (data == NULL) {
            perror(argv[i]);
            return EXIT_FAILURE;
        }
        /* Named before it runs: a crash is of the last one printed. */
        printf("%s (%zu bytes)\n", argv[i], size);
        fflush(stdout);
        LLVMFuzzerTestOneInput(data, size);
        free(data);
    }
    return EXIT_SUCCESS;
}
