#include "gru.h"
#include "recurrent.h"

SWEEPSEG_RECURRENCE(gru_scan, GRU)
SWEEPSEG_RECURRENCE(gru_scan_reset_before, GRUResetBefore)
