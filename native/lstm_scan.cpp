#include "lstm.h"
#include "recurrent.h"

SWEEPSEG_RECURRENCE(lstm_scan, LSTM)
SWEEPSEG_RECURRENCE_BFLOAT16(lstm_scan, LSTM)
