#include <stdlib.h>

#include "pyctd.h"

/* In C, because entering Go may mean waiting for one of its processors. */
void pyctd_free(char *data) { free(data); }
