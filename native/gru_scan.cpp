#include "gru.h"
#include "recurrent.h"

SWEEPSEG_RECURRENCE(gru_scan, GRU)
SWEEPSEG_RECURRENCE(gru_scan_reset_before, GRUResetBefore)
SWEEPSEG_RECURRENCE_BFLOAT16(gru_scan, GRU)
SWEEPSEG_RECURRENCE_BFLOAT16(gru_scan_reset_before, GRUResetBefore)
