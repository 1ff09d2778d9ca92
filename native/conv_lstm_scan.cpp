#include "conv_scan.h"
#include "lstm.h"

SWEEPSEG_CONV_RECURRENCE(conv_lstm_scan, LSTM)
