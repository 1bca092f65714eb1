/* Graphs captured from streams. */
#include "stream.h"

#include <stdlib.h>

CUresult cuStreamBeginCapture(CUstream stream, CUstreamCaptureMode mode)
{
    BEGIN();
    if (stream == NULL || mode == CU_STREAM_CAPTURE_MODE_GLOBAL)
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED; /* other threads may allocate meanwhile */
    pthread_mutex_lock(&hc_lock);
    hc_stream(stream, __func__);
    CUresult result = CUDA_ERROR_ILLEGAL_STATE;
    if (stream->capture == NULL) {
        stream->capture = calloc(1, sizeof *stream->capture);
        stream->capture_is_broken = 0;
        hc_counts.graphs++;
        result = CUDA_SUCCESS;
    }
    pthread_mutex_unlock(&hc_lock);
    return result;
}

static void destroy(CUgraph graph)
{
    hc_discard(&graph->operations);
    free(graph);
    hc_counts.graphs--;
}

/* As on a GPU, a stream no longer captures afterwards, whatever this returns. */
CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph)
{
    CUresult failure = hc_call(__func__);
    pthread_mutex_lock(&hc_lock);
    hc_stream(stream, __func__);
    if (stream->capture == NULL)
        failure = CUDA_ERROR_ILLEGAL_STATE;
    else if (failure == CUDA_SUCCESS && stream->capture_is_broken)
        failure = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    *graph = failure == CUDA_SUCCESS ? stream->capture : NULL;
    if (failure != CUDA_SUCCESS && stream->capture != NULL)
        destroy(stream->capture);
    stream->capture = NULL;
    pthread_mutex_unlock(&hc_lock);
    return failure;
}

/* What cannot be captured, done while a stream captures. */
void host_cuda_break_capture(CUstream stream)
{
    pthread_mutex_lock(&hc_lock);
    if (stream->capture != NULL)
        stream->capture_is_broken = 1;
    pthread_mutex_unlock(&hc_lock);
}

int host_cuda_captures(CUstream stream)
{
    pthread_mutex_lock(&hc_lock);
    int captures = hc_stream(stream, __func__)->capture != NULL;
    pthread_mutex_unlock(&hc_lock);
    return captures;
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph graph, unsigned long long flags)
{
    BEGIN();
    if (flags != 0)
        return CUDA_ERROR_NOT_SUPPORTED;
    pthread_mutex_lock(&hc_lock);
    *exec = calloc(1, sizeof **exec);
    for (Operation *o = graph->operations.first; o != NULL; o = o->next) {
        Operation copy = *o;
        copy.graph = *exec;
        hc_append(&(*exec)->operations, &copy);
    }
    hc_counts.graph_execs++;
    pthread_mutex_unlock(&hc_lock);
    return CUDA_SUCCESS;
}

CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream)
{
    BEGIN();
    pthread_mutex_lock(&hc_lock);
    stream = hc_stream(stream, __func__);
    for (Operation *o = exec->operations.first; o != NULL; o = o->next)
        hc_enqueue(stream, *o);
    pthread_mutex_unlock(&hc_lock);
    return CUDA_SUCCESS;
}

CUresult cuGraphDestroy(CUgraph graph)
{
    BEGIN();
    pthread_mutex_lock(&hc_lock);
    destroy(graph);
    pthread_mutex_unlock(&hc_lock);
    return CUDA_SUCCESS;
}

CUresult cuGraphExecDestroy(CUgraphExec exec)
{
    BEGIN();
    pthread_mutex_lock(&hc_lock);
    if (hc_graph_waits(exec))
        hc_abort("%s: its operations wait in a stream", __func__);
    hc_discard(&exec->operations);
    free(exec);
    hc_counts.graph_execs--;
    pthread_mutex_unlock(&hc_lock);
    return CUDA_SUCCESS;
}
