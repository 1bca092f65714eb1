/* Devices, contexts, counts, and failures that tests ask for. */
#include "host_cuda.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 64
#define MAX_NAMES 256

pthread_mutex_t hc_lock = PTHREAD_MUTEX_INITIALIZER;
Counts hc_counts;

struct CUctx_st {
    int primary;
    int users;
};
static struct CUctx_st primary = {1, 0};
static __thread CUcontext stack[MAX_DEPTH];
static __thread int depth;

static struct {
    const char *name;
    long calls;
} functions[MAX_NAMES];
static int function_count;
static char failing[64]; /* a function's name, or empty for any */
static long fail_after;  /* 0: nothing fails */
static CUresult fail_with;
static int fail_for_good; /* whether everything fails from then on */
static CUresult lost;     /* with this */

void hc_abort(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("host CUDA: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    abort();
}

/* What gives something back does not fail alone, where no function is named: nothing could be
 * done about it. It does fail once the device is lost. */
static int may_fail(const char *name)
{
    static const char *const never[] = {
        "cuMemFree", "Destroy", "Release", "cuCtxPopCurrent", "cuCtxPushCurrent", "cuCtxDetach",
        "cuStreamIsCapturing", "cuCtxGetCurrent",
    };
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (strstr(name, never[i]) != NULL)
            return 0;
    return 1;
}

static int is_named(const char *function, const char *name)
{
    size_t length = strlen(name);
    return strncmp(function, name, length) == 0 &&
           (function[length] == '\0' || strncmp(function + length, "_v", 2) == 0);
}

CUresult hc_call(const char *name)
{
    CUresult result = CUDA_SUCCESS;
    pthread_mutex_lock(&hc_lock);
    int i = 0;
    while (i < function_count && strcmp(functions[i].name, name) != 0)
        i++;
    if (i == function_count) {
        if (i == MAX_NAMES)
            hc_abort("more functions than the table has room for");
        functions[function_count++].name = name;
    }
    functions[i].calls++;
    int counts = failing[0] != '\0' ? is_named(name, failing) : may_fail(name);
    if (fail_after > 0 && counts && --fail_after == 0) {
        result = fail_with;
        if (fail_for_good)
            lost = fail_with;
    }
    if (lost != CUDA_SUCCESS)
        result = lost;
    pthread_mutex_unlock(&hc_lock);
    return result;
}

/* The n-th call from now of a function (NULL: of any that may fail) returns this error; for good,
 * as after an illegal address, all calls of all functions from then on. */
void host_cuda_fail(const char *name, long n, int result, int for_good)
{
    pthread_mutex_lock(&hc_lock);
    fail_for_good = for_good;
    snprintf(failing, sizeof failing, "%s", name != NULL ? name : "");
    fail_after = n;
    fail_with = (CUresult)result;
    pthread_mutex_unlock(&hc_lock);
}

/* What no process can do: to have a lost device back, with nothing pushed by this thread. */
void host_cuda_recover(void)
{
    lost = CUDA_SUCCESS;
    depth = 0;
}

/* Whether a failure that was asked for is still to come. */
int host_cuda_fail_is_waiting(void) { return fail_after > 0; }

/* How often a function was called, its version left out of the name. */
long host_cuda_calls(const char *name)
{
    for (int i = 0; i < function_count; i++)
        if (is_named(functions[i].name, name))
            return functions[i].calls;
    return 0;
}

void host_cuda_counts(Counts *counts)
{
    pthread_mutex_lock(&hc_lock);
    *counts = hc_counts;
    pthread_mutex_unlock(&hc_lock);
}

/* How many contexts the calling thread has pushed. */
int host_cuda_depth(void) { return depth; }

CUcontext hc_current(void) { return depth > 0 ? stack[depth - 1] : NULL; }

CUresult cuInit(unsigned int flags)
{
    BEGIN_ANYWHERE();
    return flags == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuDriverGetVersion(int *version)
{
    *version = CUDA_VERSION;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *count)
{
    BEGIN_ANYWHERE();
    *count = 1;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int ordinal)
{
    BEGIN_ANYWHERE();
    *device = 0;
    return ordinal == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

CUresult cuDeviceGetName(char *name, int length, CUdevice device)
{
    BEGIN_ANYWHERE();
    snprintf(name, (size_t)length, "host CUDA");
    return device == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

CUresult cuDeviceComputeCapability(int *major, int *minor, CUdevice device)
{
    *major = 8;
    *minor = 6;
    return device == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

static int integrated;

/* Whether the device has the host's memory, and none of its own. */
void host_cuda_set_integrated(int value) { integrated = value; }

/* What is asked for, and nothing else. */
CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device)
{
    BEGIN_ANYWHERE();
    if (device != 0)
        return CUDA_ERROR_INVALID_DEVICE;
    switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = 8; return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = 6; return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = 4; return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_INTEGRATED: *value = integrated; return CUDA_SUCCESS;
    default: return CUDA_ERROR_NOT_SUPPORTED;
    }
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device)
{
    BEGIN_ANYWHERE();
    if (device != 0)
        return CUDA_ERROR_INVALID_DEVICE;
    pthread_mutex_lock(&hc_lock);
    primary.users++;
    hc_counts.contexts++;
    pthread_mutex_unlock(&hc_lock);
    *context = &primary;
    return CUDA_SUCCESS;
}

/* As on a GPU, this takes the context off no thread's stack. */
CUresult cuDevicePrimaryCtxRelease(CUdevice device)
{
    BEGIN_ANYWHERE();
    if (device != 0)
        return CUDA_ERROR_INVALID_DEVICE;
    pthread_mutex_lock(&hc_lock);
    int users = primary.users;
    if (users > 0) {
        primary.users--;
        hc_counts.contexts--;
    }
    pthread_mutex_unlock(&hc_lock);
    return users > 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult cuCtxCreate(CUcontext *context, CUctxCreateParams *parameters, unsigned int flags,
                     CUdevice device)
{
    (void)parameters, (void)flags;
    BEGIN_ANYWHERE();
    if (device != 0 || depth == MAX_DEPTH)
        return CUDA_ERROR_INVALID_VALUE;
    *context = calloc(1, sizeof **context);
    (*context)->users = 1;
    pthread_mutex_lock(&hc_lock);
    hc_counts.contexts++;
    pthread_mutex_unlock(&hc_lock);
    stack[depth++] = *context;
    return CUDA_SUCCESS;
}

/* PyCUDA ends contexts of its own with this one; they have to be current. */
CUresult cuCtxDetach(CUcontext context)
{
    BEGIN();
    if (context->primary || hc_current() != context)
        return CUDA_ERROR_INVALID_CONTEXT;
    depth--;
    pthread_mutex_lock(&hc_lock);
    hc_counts.contexts--;
    pthread_mutex_unlock(&hc_lock);
    free(context);
    return CUDA_SUCCESS;
}

CUresult cuCtxPushCurrent(CUcontext context)
{
    BEGIN_ANYWHERE();
    if (context == NULL || context->users == 0 || depth == MAX_DEPTH)
        return CUDA_ERROR_INVALID_CONTEXT;
    stack[depth++] = context;
    return CUDA_SUCCESS;
}

CUresult cuCtxPopCurrent(CUcontext *context)
{
    BEGIN();
    *context = stack[--depth];
    return CUDA_SUCCESS;
}

CUresult cuCtxGetCurrent(CUcontext *context)
{
    BEGIN_ANYWHERE();
    *context = hc_current();
    return CUDA_SUCCESS;
}

CUresult cuCtxGetDevice(CUdevice *device)
{
    BEGIN();
    *device = 0;
    return CUDA_SUCCESS;
}

CUresult cuGetErrorString(CUresult error, const char **text)
{
    static __thread char buffer[64];
    switch (error) {
    case CUDA_SUCCESS: *text = "no error"; break;
    case CUDA_ERROR_INVALID_VALUE: *text = "invalid argument"; break;
    case CUDA_ERROR_OUT_OF_MEMORY: *text = "out of memory"; break;
    case CUDA_ERROR_NO_DEVICE: *text = "no CUDA-capable device is detected"; break;
    case CUDA_ERROR_INVALID_CONTEXT: *text = "invalid device context"; break;
    case CUDA_ERROR_LAUNCH_FAILED: *text = "unspecified launch failure"; break;
    case CUDA_ERROR_NOT_SUPPORTED: *text = "operation not supported"; break;
    default:
        snprintf(buffer, sizeof buffer, "error %d", (int)error);
        *text = buffer;
    }
    return CUDA_SUCCESS;
}
