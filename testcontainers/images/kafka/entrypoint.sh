#!/bin/sh
# Like the public image as far as it is used here: KAFKA_<NAME> becomes the setting <name>, with "_" for ".", "__" for "_"
# and "___" for "-"; CLUSTER_ID is the identity that the storage is formatted with; KAFKA_HEAP_OPTS bounds the JVM.
set -eu

properties=/tmp/server.properties
: "${CLUSTER_ID:?the storage needs an identity}" "${KAFKA_HEAP_OPTS:=-Xmx512m}"

env | grep '^KAFKA_' | grep -v '^KAFKA_HEAP_OPTS=' | while IFS='=' read -r name value; do
    setting=$(echo "${name#KAFKA_}" | tr '[:upper:]' '[:lower:]' | sed -e 's/___/-/g' -e 's/__/\n/g' -e 's/_/./g' -e 'y/\n/_/')
    echo "$setting=$value"
done > "$properties"

java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp '/opt/kafka/libs/*' \
    -Dlog4j2.configurationFile=/opt/kafka/log4j2.properties \
    kafka.tools.StorageTool format --cluster-id "$CLUSTER_ID" --config "$properties" --ignore-formatted
# Options are separated by spaces, as with the public image.
# shellcheck disable=SC2086
exec java $KAFKA_HEAP_OPTS -cp '/opt/kafka/libs/*' -Dlog4j2.configurationFile=/opt/kafka/log4j2.properties \
    kafka.Kafka "$properties"
