#include "conv_scan.h"
#include "gru.h"

SWEEPSEG_CONV_RECURRENCE(conv_gru_scan, GRU)
SWEEPSEG_CONV_RECURRENCE(conv_gru_scan_reset_before, GRUResetBefore)
