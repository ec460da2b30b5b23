#include <stdlib.h>

#include "pyctd.h"

/* In C, so that it need not enter Go, which may have to wait for one of Go's processors. */
void pyctd_free(char *data) { free(data); }
