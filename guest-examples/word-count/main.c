/*
 * Counts lines, words and bytes.
 *
 *   word-count FILE         counts a file
 *   word-count --text TEXT  counts the text given
 *   word-count              counts standard input (which is empty in a job)
 *
 * Prints "LINES lines, WORDS words, BYTES bytes".
 */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct counts {
    unsigned long long lines, words, bytes;
    bool in_word;
};

static void count(struct counts *counts, const char *data, size_t length) {
    counts->bytes += length;
    for (size_t i = 0; i < length; i++) {
        bool space = isspace((unsigned char)data[i]) != 0;
        if (data[i] == '\n')
            counts->lines++;
        if (!space && !counts->in_word)
            counts->words++;
        counts->in_word = !space;
    }
}

static int count_file(struct counts *counts, FILE *file, const char *name) {
    static char buffer[65536];
    size_t length;
    while ((length = fread(buffer, 1, sizeof buffer, file)) > 0)
        count(counts, buffer, length);
    if (ferror(file)) {
        fprintf(stderr, "cannot read %s: %s\n", name, strerror(errno));
        return 1;
    }
    return 0;
}

int main(int argc, char **argv) {
    struct counts counts = {0};
    if (argc == 3 && strcmp(argv[1], "--text") == 0) {
        count(&counts, argv[2], strlen(argv[2]));
    } else if (argc == 2) {
        FILE *file = fopen(argv[1], "rb");
        if (file == NULL) {
            fprintf(stderr, "cannot open %s: %s\n", argv[1], strerror(errno));
            return 1;
        }
        int failed = count_file(&counts, file, argv[1]);
        fclose(file);
        if (failed)
            return 1;
    } else if (argc == 1) {
        if (count_file(&counts, stdin, "standard input"))
            return 1;
    } else {
        fprintf(stderr, "usage: word-count [FILE | --text TEXT]\n");
        return 2;
    }
    printf("%llu lines, %llu words, %llu bytes\n", counts.lines, counts.words, counts.bytes);
    return 0;
}
