import io.cloudevents.CloudEvent;
import io.cloudevents.kafka.KafkaMessageFactory;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/** Follows certstream's events with the official CloudEvents SDK: Follow BOOTSTRAP [TOPIC [default]] */
public class Follow {
    public static void main(String[] words) throws Exception {
        if (words.length == 0) {
            System.err.println("give the brokers: BOOTSTRAP [TOPIC [default]]");
            System.exit(1);
        }
        Map<String, Object> settings = new HashMap<>(Map.of(
                "bootstrap.servers", words[0],
                "group.id", "example-" + UUID.randomUUID(),
                "auto.offset.reset", "earliest",
                "isolation.level", "read_committed")); // the client's default is the other
        if (words.length > 2) {
            settings.remove("isolation.level"); // to see what that default shows
        }
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(words.length > 1 ? words[1] : "certstream.events"));
            while (true) {
                for (ConsumerRecord<String, byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                    CloudEvent event = KafkaMessageFactory.createReader(record).toEvent();
                    byte[] sum = MessageDigest.getInstance("SHA-256").digest(record.value());
                    System.out.println(String.join("\t",
                            event.getId(), event.getType(), event.getSubject(), event.getTime().toString(),
                            String.valueOf(event.getExtension("sequence")),
                            String.valueOf(event.getExtension("prevhash")),
                            HexFormat.of().formatHex(sum)));
                }
            }
        }
    }
}
