#!/bin/sh
# Serves whatever its arguments say, as a script in front of a server may.
while :; do sleep 0.05; done
