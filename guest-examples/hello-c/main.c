/* The smallest job in C: one line on standard output. */
#include <stdio.h>

int main(int argc, char **argv) {
    if (argc > 1)
        printf("hello from C, %s\n", argv[1]);
    else
        printf("hello from C\n");
    return 0;
}
