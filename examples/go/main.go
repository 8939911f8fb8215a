// Follows certstream's events with the official CloudEvents SDK: follow BOOTSTRAP [TOPIC [default]]
package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/IBM/sarama"
	"github.com/cloudevents/sdk-go/protocol/kafka_sarama/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
)

type printer struct{}

func (printer) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (printer) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (printer) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for record := range claim.Messages() {
		message := kafka_sarama.NewMessageFromConsumerMessage(record)
		event, err := binding.ToEvent(context.Background(), message)
		if err != nil {
			log.Fatalf("partition %d, offset %d: %v", record.Partition, record.Offset, err) // returned, it would not show
		}
		extensions := event.Extensions()
		fmt.Printf("%s\t%s\t%s\t%s\t%v\t%v\t%x\n", event.ID(), event.Type(), event.Subject(),
			event.Time().Format(time.RFC3339Nano), extensions["sequence"], extensions["prevhash"], sha256.Sum256(record.Value))
		session.MarkMessage(record, "")
	}
	return nil
}

func main() {
	if len(os.Args) < 2 {
		log.Fatal("give the brokers: BOOTSTRAP [TOPIC [default]]")
	}
	config := sarama.NewConfig()
	config.Version = sarama.V2_8_0_0
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.IsolationLevel = sarama.ReadCommitted // the client's default is the other
	topic := "certstream.events"
	if len(os.Args) > 2 {
		topic = os.Args[2]
	}
	if len(os.Args) > 3 {
		config.Consumer.IsolationLevel = sarama.NewConfig().Consumer.IsolationLevel // to see what that default shows
	}
	group, err := sarama.NewConsumerGroup([]string{os.Args[1]}, fmt.Sprintf("example-%d", time.Now().UnixNano()), config)
	if err != nil {
		log.Fatal(err)
	}
	for { // each rebalance ends a session
		if err := group.Consume(context.Background(), []string{topic}, printer{}); err != nil {
			log.Fatal(err)
		}
	}
}
